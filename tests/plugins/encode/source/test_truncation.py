"""Whether the end of a file is missing, told from what its container says."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plugins.encode.source.probe import probe

Clip = Callable[..., Path]

#: What programs write into the sizes of RIFF and data when a pipe doesn't let them come back.
STREAMED = {
    "a recorder that never came back": (0, 0),
    "a header without sound": (36, 0),
    "ffmpeg": (0xFFFF_FFFF, 0xFFFF_FFFF),
    "4 GiB less the header": (0xFFFF_FFFF, 0xFFFF_FFDB),
    "sox": (0x7FFF_F024, 0x7FFF_F000),
    "arecord": (0x7FFF_FF24, 0x7FFF_FF00),
    "2 GiB - 1": (0x7FFF_FFFF, 0x7FFF_FFDB),
    "2 GiB": (0x8000_0024, 0x8000_0000),
}

_SECONDS, _RATE = 2, 8000


def wave(path: Path, riff: int, data: int) -> Path:
    head = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", riff, b"WAVEfmt ", 16, 1, 1, _RATE, 2 * _RATE, 2, 16, b"data", data)
    path.write_bytes(head + bytes(range(250)) * (_SECONDS * _RATE * 2 // 250))
    return path


@pytest.mark.parametrize("program", STREAMED)
def test_a_wave_file_from_a_pipe_is_as_long_as_its_sound(tmp_path: Path, program: str) -> None:
    media = probe(wave(tmp_path / "a.wav", *STREAMED[program]))

    assert media.duration == pytest.approx(_SECONDS, abs=0.001)
    assert not media.is_truncated


def test_a_recording_that_went_through_a_pipe_is_encoded_whole(tmp_path: Path, encode: Any) -> None:
    for name in ("a.wav", "a.avi"):
        path = tmp_path / name
        with path.open("wb") as file:
            command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=2", "-f", path.suffix[1:], "pipe:"]
            subprocess.run(command, check=True, stdout=file)
        made = encode(path)
        assert made.output.facts["duration"] == pytest.approx(2, abs=0.05)
        assert made.output.notes == ()


def test_a_wave_file_that_is_shorter_than_it_says_is_still_refused(tmp_path: Path) -> None:
    path = wave(tmp_path / "a.wav", 36 + 4 * _SECONDS * _RATE, 4 * _SECONDS * _RATE)

    assert probe(path).duration == pytest.approx(2 * _SECONDS, abs=0.01)
    assert probe(path).is_truncated


@pytest.mark.parametrize(
    "behind", [b"</html> put there by a proxy", bytes(3000), b"abc", b"\x7f" * 5000], ids=["text", "zeros", "3", "5000"]
)
def test_bytes_behind_a_good_mp4_are_no_loss(clip: Clip, tmp_path: Path, behind: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(clip("a.mp4", seconds=1, width=160, height=90).read_bytes() + behind)

    assert not probe(path).is_truncated


def test_an_mp4_whose_last_box_is_not_whole_is_a_loss(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(clip("a.mp4", seconds=1, width=160, height=90).read_bytes()[:-1])

    assert probe(path).is_truncated
