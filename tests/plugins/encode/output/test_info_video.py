"""`info_video.json` as Pod 4.1 reads it: the keys that its importer needs, and the forms that it takes apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plugins.encode
from core import Source
from core.testing import Subtitles, fake_context, fake_job

Clip = Callable[..., Path]
Encode = Callable[..., Any]


def read(encoded: Any) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((encoded.folder / "info_video.json").read_text())
    return manifest


def test_a_lectures_files_are_listed_by_height_rate_and_number(lecture: Any) -> None:
    info = read(lecture)
    place = str(lecture.folder)
    assert info["duration"] == 12
    assert info["list_mp4_files"] == {"360": f"{place}/360p.mp4", "720": f"{place}/720p.mp4"}
    assert info["list_hls_files"] == {"360": f"{place}/360p.m3u8", "720": f"{place}/720p.m3u8"}
    assert info["list_mp3_files"] == {"192k": f"{place}/audio_192k.mp3"}
    assert info["list_m4a_files"] == {}
    assert info["list_thumbnail_files"] == {str(n): f"{place}/thumbnail_000{n}.png" for n in (1, 2, 3)}
    assert info["list_overview_files"] == {"0": f"{place}/overview.png", "1": f"{place}/overview.vtt"}
    assert info["list_subtitle_files"] == {}
    assert info["list_audio_track"] == {"1": {"sample_rate": "48000", "channels": 2}}
    assert info["error_encoding"] is False


def test_a_source_of_sound_lists_an_m4a_which_tells_pod_that_it_is_no_video(clip: Clip, encode: Encode) -> None:
    info = read(encode(clip("a.mp3", cover=True)))
    assert list(info["list_m4a_files"]) == ["192k"]
    assert (info["list_hls_files"], info["list_overview_files"]) == ({}, {})
    assert Path(info["list_thumbnail_files"]["2"]).exists()


def test_subtitles_are_listed_by_track_with_their_language(clip: Clip, encode: Encode) -> None:
    tracks = (Subtitles("fra", [(0, 1, "un")]), Subtitles("fra", [(0, 1, "deux")]))
    encoded = encode(clip("a.mkv", subtitles=tracks))
    assert read(encoded)["list_subtitle_files"] == {
        "2": ["fra", str(encoded.folder / "subtitle_fra.vtt")],
        "3": ["fra", str(encoded.folder / "subtitle_fra_2.vtt")],
    }


def test_paths_are_those_of_the_folder_in_which_the_files_will_be_published(clip: Clip, tmp_path: Path) -> None:
    source = clip("a.mp4")
    context = fake_context(tmp_path / "job", source, published=Path("/srv/pod/media/videos/0042"))
    plugins.encode.plugin.encode(fake_job(source), Source(path=source), {"preset": "ultrafast"}, context)
    info = json.loads((context.output / "info_video.json").read_text())
    assert info["list_mp4_files"] == {"360": "/srv/pod/media/videos/0042/360p.mp4"}
    assert info["output_dir"] == "/srv/pod/media/videos/0042"


def test_a_height_that_pod_does_not_know_is_not_listed(clip: Clip, encode: Encode) -> None:
    info = read(encode(clip("a.mp4", width=426, height=240), profile="lecture"))
    assert (info["list_mp4_files"], info["list_hls_files"]) == ({}, {})


def test_the_portals_id_of_the_video_is_kept(clip: Clip, encode: Encode) -> None:
    assert read(encode(clip("a.mp4"), attributes={"video_id": 42}))["id"] == 42
