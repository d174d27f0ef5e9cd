"""Where the detector hears somebody speak."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import silero_vad
from hypothesis import given
from hypothesis import strategies as st

from plugins.transcript.sound.audio import record
from plugins.transcript.sound.vad import find_speech, padded, soft, spans
from plugins.transcript.sound.windows import RATE

from ..conftest import DATA, Samples, load, silence


def spoken(sound: Samples, folder: Path) -> list[tuple[float, float]]:
    found = find_speech(record([sound], folder / "sound.s16"), 0.4, 30.0)
    return [(start / RATE, end / RATE) for start, end in found.spoken]


@pytest.mark.parametrize("seed", [22, 24, 25])
def test_noise_that_a_recording_begins_with_is_no_voice(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    noise = 10 ** rng.uniform(-3, -0.7) * rng.standard_normal(5 * RATE)

    assert spoken(noise.astype(np.float32), tmp_path) == []


@pytest.mark.parametrize("level", [-45, -60])
def test_a_soft_voice_is_heard(level: int, tmp_path: Path) -> None:
    """Of -60 dB there are some ten steps of 16 bits left."""
    speech = load(DATA / "en-short.wav")
    soft = (speech * 10 ** (level / 20) / speech.std()).astype(np.float32)

    assert sum(end - start for start, end in spoken(soft, tmp_path)) > 0.9 * sum(
        end - start for start, end in spoken(speech, tmp_path)
    )


def chunks(*stretches: tuple[float, float]) -> list[float]:
    """Return the detector's probabilities of stretches of (seconds, probability), which sway as those of a voice do."""
    sway = np.resize([0.4, 1.0, 1.8, 1.0, 0.8], 10_000)
    return [float(part) for seconds, level in stretches for part in level * sway[: round(seconds * RATE / 512)]]


@pytest.mark.parametrize(
    ("beside", "level", "is_heard"),
    [
        pytest.param(0.5, 0.15, True, id="an aside"),
        pytest.param(0.5, 0.05, False, id="noise after speech"),
        pytest.param(9.0, 0.15, False, id="far from any speech"),
    ],
)
def test_a_low_voice_is_heard_next_to_what_is_spoken(beside: float, level: float, is_heard: bool) -> None:
    probabilities = chunks((3, 0.95), (beside, 0.01), (4, level), (beside, 0.01), (3, 0.95))
    spoken = spans(probabilities, 0.4, RATE // 2, len(probabilities) * 512)

    found = soft(probabilities, spoken)
    if not is_heard:
        assert found == []
        return
    ((start, end),) = found
    assert start / RATE == pytest.approx(3.5, abs=0.6)
    assert end / RATE == pytest.approx(7.5, abs=0.6)


def test_the_fringe_of_a_loud_voice_is_no_low_one() -> None:
    probabilities = chunks((3, 0.95), (0.3, 0.3), (0.9, 0.05), (3, 0.95), (6, 0.01))
    assert soft(probabilities, spans(probabilities, 0.4, RATE // 2, len(probabilities) * 512)) == []


@pytest.mark.parametrize("fault", ["clipped", "eight bits", "telephone"])
def test_a_bad_recording_of_a_voice_is_heard(fault: str, tmp_path: Path) -> None:
    speech = load(DATA / "en-short.wav")
    faults: Mapping[str, Any] = {
        "clipped": np.clip(speech * 30, -1, 1),
        "eight bits": np.round(speech * 127) / 127,
        "telephone": np.repeat(speech[: len(speech) // 2 * 2].reshape(-1, 2).mean(axis=1), 2),
    }
    spoilt = faults[fault].astype(np.float32)

    seconds = sum(end - start for start, end in spoken(spoilt, tmp_path))
    assert seconds > 0.8 * sum(end - start for start, end in spoken(speech, tmp_path))


def test_one_sentence_in_minutes_of_hiss_is_found(tmp_path: Path) -> None:
    hiss = np.concatenate([silence(60)] * 3)
    speech = load(DATA / "en-short.wav")
    hiss[100 * RATE : 100 * RATE + len(speech)] += speech

    found = spoken(hiss, tmp_path)

    assert found[0][0] == pytest.approx(100, abs=1.0)
    assert found[-1][1] == pytest.approx(100 + len(speech) / RATE, abs=1.0)


@given(
    st.lists(st.tuples(st.sampled_from([0.05, 0.2, 0.3, 0.39, 0.4, 0.9]), st.integers(1, 40)), max_size=12),
    st.sampled_from([64, 500]),
    st.sampled_from([0, 1000]),
)
def test_stretches_are_silero_s(runs: list[tuple[float, int]], silence: int, pad: int) -> None:
    probabilities = [probability for probability, count in runs for _ in range(count)]
    samples = len(probabilities) * 512
    theirs = silero_vad.get_speech_timestamps_from_probs(
        probabilities,
        threshold=0.4,
        min_speech_duration_ms=100,
        min_silence_duration_ms=silence,
        speech_pad_ms=pad,
        audio_length_samples=samples,
    )

    own = padded(spans(probabilities, 0.4, silence * RATE // 1000, samples), pad * RATE // 1000, samples)

    assert len(own) == len(theirs)
    for span, one in zip(own, theirs, strict=True):
        assert span == pytest.approx((one["start"], one["end"]), abs=1)


def test_a_recording_is_heard_alike_however_long_it_is(tmp_path: Path) -> None:
    """It goes through the network in pieces of a minute, whose state goes with it."""
    speech = load(DATA / "en-short.wav")

    def first(before: float) -> float:
        return spoken(np.concatenate([silence(before), speech, silence(1)]), tmp_path)[0][0] - before

    assert first(63) == pytest.approx(first(5), abs=0.1)
