from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import plugins.encode
from core import Source, Transient
from core.errors import NoSpace
from core.testing import fake_context, fake_job
from plugins.encode.output.checks import check_mp4, check_playlist, check_size, is_full
from plugins.media.boxes import boxes

Clip = Callable[..., Path]

#: Written besides the films, so that a disk of `4 MB - FREE` is filled by something else than the encoder.
_DISK = 4_000_000


def encode_onto(disk: Path, free: int, source: Path) -> None:
    (disk / "filler").write_bytes(bytes(_DISK - free))
    context = fake_context(disk / "job", source)
    plugins.encode.plugin.encode(fake_job(source), Source(path=source), {"preset": "ultrafast"}, context)


@pytest.mark.parametrize("free", [0, 50_000, 200_000, 700_000, 1_200_000])
def test_a_full_disk_is_told_with_the_folder_and_the_remedy_wherever_it_fills(
    small_disk: Path, clip: Clip, free: int
) -> None:
    source = clip("lecture.mp4", seconds=12, width=1280, height=720)
    with pytest.raises(NoSpace, match=r"no space left in .*/out .*: free some space there") as full:
        encode_onto(small_disk, free, source)
    assert full.value.path == str(small_disk / "job/out")


def test_an_mp4_begins_with_its_index_so_that_it_plays_while_it_loads(lecture: Any) -> None:
    for path in lecture.files("rendition"):
        with path.open("rb") as file:
            kinds = [kind for kind, _ in boxes(file)]
        assert kinds.index(b"moov") < kinds.index(b"mdat")


def test_a_film_that_was_not_written_to_its_end_is_noticed(lecture: Any, tmp_path: Path) -> None:
    for name in ("360p.mp4", "360p.ts", "360p.m3u8", "audio_192k.mp3"):
        (tmp_path / name).write_bytes((lecture.folder / name).read_bytes()[:-1000])
    with pytest.raises(Transient, match=r"360p\.mp4 was not written to its end"):
        check_mp4(tmp_path / "360p.mp4")
    with pytest.raises(Transient, match=r"360p\.m3u8 was not written to its end"):
        check_playlist(lecture.folder / "360p.m3u8", tmp_path / "360p.ts")
    with pytest.raises(Transient, match=r"360p\.m3u8 was not written to its end"):
        check_playlist(tmp_path / "360p.m3u8", lecture.folder / "360p.ts")
    with pytest.raises(Transient, match=r"audio_192k\.mp3 was not written to its end"):
        check_size(tmp_path / "audio_192k.mp3", (lecture.folder / "audio_192k.mp3").stat().st_size)


def test_a_whole_film_passes(lecture: Any) -> None:
    check_mp4(lecture.folder / "360p.mp4")
    check_playlist(lecture.folder / "360p.m3u8", lecture.folder / "360p.ts")


@pytest.mark.parametrize(("number", "full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)])
def test_a_quota_is_a_full_disk_too(number: int, full: bool) -> None:
    assert is_full(OSError(number, "x")) is full
