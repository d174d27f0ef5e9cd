from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from plugins.encode.audio.encoders import AacEncoders
from plugins.encode.audio.resample import RATE, Resampler

Clip = Callable[..., Path]
Encode = Callable[..., Any]


def sound(samples: int, *, at: float, layout: str = "mono", rate: int = 44_100, loud: bool = False) -> av.AudioFrame:
    frame = av.AudioFrame("s16", layout, samples)
    for plane in frame.planes:
        plane.update((b"\x00\x40" if loud else b"\x00\x00") * (plane.buffer_size // 2))
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), round(at * rate)
    return frame


def resample(frames: list[av.AudioFrame], origin: Fraction = Fraction(0)) -> list[av.AudioFrame]:
    resampler = Resampler(origin, "stereo")
    return [ready for frame in frames for ready in resampler.resample(frame)] + resampler.flush()


def assert_whole(frames: list[av.AudioFrame], seconds: float) -> None:
    assert frames[0].pts == 0
    for before, after in pairwise(frames):
        assert after.pts == (before.pts or 0) + before.samples
    assert sum(frame.samples for frame in frames) / RATE == pytest.approx(seconds, abs=0.002)
    assert {(frame.sample_rate, frame.layout.name, frame.format.name) for frame in frames} == {(RATE, "stereo", "fltp")}


def test_any_sound_becomes_48_khz_stereo_floats() -> None:
    assert_whole(resample([sound(4410, at=n / 10) for n in range(5)]), 0.5)


def test_even_sound_that_needs_no_change_is_padded_at_its_start() -> None:
    frame = av.AudioFrame("fltp", "stereo", 4800)
    frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), RATE // 2
    assert_whole(resample([frame]), 0.6)


def test_a_hole_is_filled_with_silence_and_an_overlap_cut() -> None:
    assert_whole(resample([sound(4410, at=0), sound(4410, at=0.5), sound(4410, at=0.6)]), 0.7)
    assert_whole(resample([sound(44_100, at=0), sound(44_100, at=0.5)]), 1.5)


def test_time_counts_from_the_origin() -> None:
    assert_whole(resample([sound(4410, at=7.5)], Fraction(7)), 0.6)


def test_sound_that_changes_its_form_in_mid_film_goes_on() -> None:
    frames = [sound(4410, at=0), sound(4410, at=0.1), sound(4800, at=0.2, layout="stereo", rate=48_000)]
    assert_whole(resample(frames), 0.3)


def test_renditions_of_one_bit_rate_share_an_encoder() -> None:
    encoders = AacEncoders([96_000, 128_000, 96_000], "stereo")
    assert encoders.template(96_000) is encoders.template(96_000)
    packets = [encoders.encode(frame) for frame in [*resample([sound(44_100, at=0)]), None]]
    assert {rate for made in packets for rate in made} == {96_000, 128_000}
    assert sum(len(made[96_000]) for made in packets) == math.ceil(RATE / 1024) + 1


@pytest.mark.parametrize(("channels", "layout"), [(1, "mono"), (2, "stereo"), (6, "stereo")])
def test_a_microphone_stays_mono_and_more_channels_become_two(
    clip: Clip, encode: Encode, channels: int, layout: str
) -> None:
    encoded = encode(clip("a.mkv", channels=channels))
    for path in (encoded.folder / "360p.mp4", encoded.folder / "360p.m3u8", encoded.folder / "audio_192k.mp3"):
        with av.open(str(path)) as container:
            assert container.streams.audio[0].codec_context.layout.name == layout


def test_each_rendition_has_its_sound_at_its_rate(lecture: Any) -> None:
    for name, rate in (("360p.mp4", 96_000), ("720p.mp4", 128_000)):
        with av.open(str(lecture.folder / name)) as container:
            audio = container.streams.audio[0]
            assert (audio.codec_context.sample_rate, audio.codec_context.layout.name) == (48_000, "stereo")
            assert (audio.codec_context.bit_rate or 0) <= rate * 1.1


def test_the_mp3_has_a_variable_rate_and_says_how_long_it_is(lecture: Any) -> None:
    # A constant rate would be marked "Info".
    assert b"Xing" in (lecture.folder / "audio_192k.mp3").read_bytes()[:1000]
    with av.open(str(lecture.folder / "audio_192k.mp3")) as container:
        assert container.streams.audio[0].codec_context.name.startswith("mp3")
        assert (container.duration or 0) / av.time_base == pytest.approx(12, abs=0.05)


def test_a_sound_only_source_is_offered_as_m4a_too(clip: Clip, encode: Encode) -> None:
    encoded = encode(clip("a.wav"))
    assert [(artifact.path, artifact.media_type) for artifact in encoded.artifacts("audio")] == [
        ("audio_192k.mp3", "audio/mpeg"),
        ("audio_192k.m4a", "audio/mp4"),
    ]
    assert encoded.output.facts == {"duration": pytest.approx(2, abs=0.03), "has_audio": True, "has_video": False}
