"""Sound that begins anywhere comes out whole and where it belongs, whatever its rate."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av import AudioFrame

from plugins.encode.audio.resample import RATE, Resampler

#: What is loud, of 1.
LOUD = 0.01


def tone(rate: int, start: int, seconds: int) -> list[AudioFrame]:
    frames = []
    for number in range(seconds * 10):
        count = rate // 10
        wave = 0.3 * np.sin(np.arange(number * count, (number + 1) * count) * 2 * np.pi * 440 / rate)
        frame = AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="flt", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), start * rate + number * count
        frames.append(frame)
    return frames


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 96000])
def test_what_begins_behind_other_sound_loses_nothing(rate: int) -> None:
    resampler = Resampler(Fraction(0), "mono", 20 * RATE)
    ready = [one for frame in tone(rate, 20, 3) for one in resampler.resample(frame)] + resampler.flush()
    assert sum(frame.samples for frame in ready) == pytest.approx(3 * RATE, abs=0.01 * RATE)
    assert ready[0].pts == 20 * RATE


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("hole", [1, 20])
def test_a_hole_is_as_long_as_it_was_and_what_follows_is_whole(
    tmp_path: Path, ffmpeg: Callable[..., None], encode: Callable[..., Any], rate: int, hole: int
) -> None:
    source = tmp_path / "paused.mkv"
    leap = f"asetpts='if(gt(T,3),PTS+{hole}/TB,PTS)'"
    ffmpeg("-f", "lavfi", "-i", f"sine=440:duration=6:sample_rate={rate}", "-af", leap, "-c:a", "pcm_s16le", source)
    made = encode(source)
    with av.open(str(made.folder / "audio_192k.m4a")) as file:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
        played = file.streams.audio[0].sample_rate
    loud = np.abs(heard) > LOUD
    assert len(heard) / played == pytest.approx(6 + hole, abs=0.1)
    assert loud.sum() / played == pytest.approx(6 * loud[: 2 * played].mean(), abs=0.1)
    assert not loud[round(3.1 * played) : round((2.9 + hole) * played)].any()
