"""AV1 with Opus beside H.264 with AAC, in fragmented MP4 and in files to download."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from pydantic import ValidationError

from core.testing import frame_number
from plugins.encode.profiles import Profile

Clip = Callable[..., Path]
Encode = Callable[..., Any]

LADDER = [
    {"height": 360, "max_rate": "1M"},
    {"height": 360, "max_rate": "800k", "codec": "av1", "crf": 35, "audio_rate": 64_000},
]
PROFILE = {"renditions": LADDER, "preset": "veryfast", "segments": "cmaf", "keyframe_seconds": 2, "av1_preset": 9}


@pytest.fixture(scope="module")
def both(clip: Clip, encode: Encode) -> Any:
    return encode(clip("film.mp4", seconds=6, width=640, height=360), profile=PROFILE)


def test_both_codecs_hold_the_same_film(both: Any, look: Any, watch: Any) -> None:
    assert [path.name for path in both.files("rendition")] == ["360p.mp4", "360p_av1.mp4"]
    for path in both.films:
        made = look(path)
        assert (made.faults, len(made.frames)) == ((), 150), path.name
        assert {round(time - made.frames[0], 3) for time in made.keyframes} >= {0, 2, 4}, path.name
        assert frame_number(watch(path)[77][1]) == 77
    for path in both.files("audio_playlist"):
        assert look(path).faults == (), path.name
        assert look(path).sound_end == pytest.approx(6, abs=0.05)


def test_codecs_are_what_the_manifests_say(both: Any) -> None:
    with av.open(str(both.folder / "360p_av1.mp4")) as container:
        names = [stream.codec_context.name for stream in container.streams]
    assert names == ["libdav1d", "opus"]
    master = (both.folder / "livestream.m3u8").read_text()
    variants = [line for line in master.splitlines() if line.startswith("#EXT-X-STREAM-INF")]
    assert 'CODECS="avc1.64001e,mp4a.40.2",AUDIO="audio"' in variants[0]
    assert 'CODECS="av01.0.01M.08,opus",AUDIO="opus"' in variants[1]
    manifest = (both.folder / "manifest.mpd").read_text()
    assert 'id="360p_av1" codecs="av01.0.01M.08"' in manifest
    assert 'id="audio_und_opus" codecs="opus"' in manifest
    assert manifest.count('contentType="video"') == 2


def test_portals_that_know_no_av1_are_told_of_none(both: Any) -> None:
    info = json.loads((both.folder / "info_video.json").read_text())
    assert [Path(path).name for path in info["list_mp4_files"].values()] == ["360p.mp4"]


def test_av1_never_stands_in_a_transport_stream_or_alone() -> None:
    with pytest.raises(ValidationError, match="a transport stream holds no AV1"):
        Profile.model_validate(PROFILE | {"segments": "ts"})
    with pytest.raises(ValidationError, match="would not play everywhere"):
        Profile.model_validate(PROFILE | {"renditions": LADDER[1:]})
