"""Sounds in which nobody speaks, to see whether words are made up in them, and a sentence lost in hours of hiss.

    python -m benchmarks.sounds FOLDER [--minutes 30] [--weights base.pt]

Writes the files, and with weights transcribes them: words that were made up, the seconds that the detector takes for
speech, and CPU seconds of one thread.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

import argparse
import tempfile
import time
import wave
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.testing import fake_context, fake_job
from plugins.transcript.engine import transcribe_lecture
from plugins.transcript.options import TranscribeOptions
from plugins.transcript.sound.audio import iter_audio

Samples = NDArray[np.float64]

RATE = 16_000
#: Seconds made at a time: hours of sound take no more memory than this.
PIECE = 60
SENTENCE = Path(__file__).parents[1] / "tests/data/en-short.wav"


def silence(rng: np.random.Generator, seconds: int) -> Samples:
    """Return the noise floor of a quiet room, -66 dB."""
    return 0.0005 * rng.standard_normal(seconds * RATE)


def hiss(rng: np.random.Generator, seconds: int) -> Samples:
    """Return white noise as of a preamplifier that is turned up, -40 dB."""
    return 0.01 * rng.standard_normal(seconds * RATE)


def noise(rng: np.random.Generator, seconds: int) -> Samples:
    """Return pink noise as of a fan or a street, -20 dB, that swells and fades."""
    spectrum = np.fft.rfft(rng.standard_normal(seconds * RATE))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    pink = np.fft.irfft(spectrum, seconds * RATE)
    swell = 0.7 + 0.3 * np.sin(2 * np.pi * np.arange(len(pink)) / RATE / rng.uniform(3, 9))
    sound: Samples = 0.1 * swell * pink / pink.std()
    return sound


def applause(rng: np.random.Generator, seconds: int) -> Samples:
    """Return hundreds of hands, each clap a burst of 4 ms."""
    sound = np.zeros(seconds * RATE)
    burst = np.exp(-np.arange(RATE // 50) / (0.004 * RATE))
    for at in rng.integers(0, len(sound) - len(burst), 120 * seconds):
        sound[at : at + len(burst)] += rng.uniform(0.02, 0.2) * burst * rng.standard_normal(len(burst))
    return sound


def music(rng: np.random.Generator, seconds: int) -> Samples:
    """Return chords of three notes with overtones and a melody over them, two a second, each struck and fading."""
    clock = np.arange(seconds * RATE) / RATE
    beat = (clock * 2).astype(int)
    root = 110 * 2 ** (rng.choice([0, 3, 5, 7, 8, 10], beat[-1] + 1) / 12)[beat]
    tune = 440 * 2 ** (rng.choice([0, 2, 3, 5, 7, 8, 10, 12], beat[-1] + 1) / 12)[beat]
    sound: Samples = np.zeros(len(clock))
    for pitch, loud in ((root, 0.05), (root * 2 ** (3 / 12), 0.04), (root * 1.5, 0.04), (tune, 0.06)):
        phase = 2 * np.pi * np.cumsum(pitch) / RATE
        sound += loud * np.sum([np.sin(overtone * phase) / overtone for overtone in (1, 2, 3, 4)], axis=0)
    return sound * np.exp(-3 * (clock * 2 % 1))


SOUNDS: Mapping[str, Callable[[np.random.Generator, int], Samples]] = {
    make.__name__: make for make in (silence, hiss, noise, applause, music)
}


def write(path: Path, make: Callable[[np.random.Generator, int], Samples], seconds: int, seed: int = 8) -> Path:
    """Write so many seconds of a sound, minute by minute."""
    rng = np.random.default_rng(seed)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        for start in range(0, seconds, PIECE):
            file.writeframes(_sixteen_bits(make(rng, min(PIECE, seconds - start))))
    return path


def one_sentence(path: Path, seconds: int, at: int) -> Path:
    """Write hiss, and one sentence in it that begins at a second."""
    voice = np.concatenate(list(iter_audio(SENTENCE)))
    rng = np.random.default_rng(8)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        for start in range(0, seconds, PIECE):
            sound = hiss(rng, min(PIECE, seconds - start))
            if start <= at < start + PIECE:
                first = (at - start) * RATE
                sound[first : first + len(voice)] += voice[: len(sound) - first]
            file.writeframes(_sixteen_bits(sound))
    return path


def _sixteen_bits(sound: Samples) -> bytes:
    return (np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=int, default=30, help="in all, of the sounds without speech")
    parser.add_argument("--weights", type=Path, help="weights in OpenAI's format (base.pt)")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    each = chosen.minutes * 60 // len(SOUNDS)
    files = [write(chosen.folder / f"{name}.wav", make, each) for name, make in SOUNDS.items()]
    files.append(one_sentence(chosen.folder / "one-sentence.wav", 3 * 3600, 5000))
    if not chosen.weights:
        return
    print("| | seconds | words | seconds taken for speech | CPU s |")
    print("| --- | --- | --- | --- | --- |")
    for path in files:
        with tempfile.TemporaryDirectory() as name:
            context = fake_context(Path(name), path, step="transcribe", threads=1)
            began = time.process_time()
            heard = transcribe_lecture(fake_job(path), path, TranscribeOptions(model=str(chosen.weights)), context)
            cost = time.process_time() - began
        facts, text = heard.facts, " ".join(segment.text for segment in heard.segments)
        words = f"{len(text.split())} {text[:80]}"
        print(f"| {path.stem} | {facts['duration']:.0f} | {words} | {facts['speech_seconds']:.1f} | {cost:.1f} |")
        print(*heard.notes, sep="\n", flush=True)


if __name__ == "__main__":
    main()
