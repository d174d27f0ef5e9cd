from __future__ import annotations

import pytest
from pydantic import ValidationError

from plugins.encode.profiles import LECTURE, POD, Profile, RenditionSpec


def test_pods_ladder_is_that_of_its_encoding_settings() -> None:
    rungs = [(rung.height, rung.crf, rung.max_rate, rung.audio_rate, rung.mp4) for rung in POD.renditions]
    assert rungs == [
        (360, 20, 1_000_000, 96_000, True),
        (720, 20, 3_000_000, 128_000, True),
        (1080, 20, 4_500_000, 192_000, False),
    ]
    assert (POD.preset, POD.keyframe_seconds, POD.segment_seconds) == ("slow", 1, 2)


def test_the_lecture_profile_keeps_pods_heights_caps_and_files() -> None:
    kept = [(rung.height, rung.max_rate, rung.audio_rate, rung.mp4) for rung in LECTURE.renditions]
    assert kept == [(rung.height, rung.max_rate, rung.audio_rate, rung.mp4) for rung in POD.renditions]
    assert LECTURE.keyframe_seconds == LECTURE.segment_seconds


def test_segments_must_hold_whole_keyframe_intervals() -> None:
    with pytest.raises(ValidationError, match="multiple of keyframe_seconds"):
        Profile(renditions=POD.renditions, keyframe_seconds=1.5, segment_seconds=2)


def test_rates_may_be_written_as_ffmpeg_writes_them() -> None:
    spec = RenditionSpec.model_validate({"height": 480, "max_rate": "1500k", "audio_rate": "0.128M"})
    assert (spec.max_rate, spec.audio_rate) == (1_500_000, 128_000)
