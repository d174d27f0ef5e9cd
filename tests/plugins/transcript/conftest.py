"""Recordings with their truth, the checkpoint that knows them, and sound made to measure."""

from __future__ import annotations

import gzip
import json
import shutil
import warnings
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from whisper.tokenizer import get_encoding

from core import Transcript
from core.settings import load as load_settings
from core.testing import fake_context, fake_job
from plugins.transcript.engine import transcribe_lecture
from plugins.transcript.options import TranscribeOptions
from plugins.transcript.settings import TranscriptSettings
from plugins.transcript.sound.audio import iter_audio
from plugins.transcript.sound.windows import RATE

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests/data"

Samples = NDArray[np.float32]
Transcribe = Callable[..., Transcript]


@dataclass(frozen=True)
class Clip:
    """A recording and what is said in it."""

    path: Path
    language: str
    text: str
    #: Seconds at which each word begins.
    starts: Sequence[float]


def clip(name: str) -> Clip:
    known = json.loads((DATA / "truth.json").read_text())[name]
    text = " ".join(segment["text"] for segment in known["segments"])
    return Clip(path_of(name), known["language"], text, _starts(text, known["segments"]))


def path_of(name: str) -> Path:
    return ROOT / "examples/demo/lecture.mp4" if name == "en-long.mp4" else DATA / name


def _starts(text: str, segments: Sequence[Any]) -> list[float]:
    """Return the start of each written word; the truth has parts of words, as whisper's tokenizer makes them."""
    starts, at = [], 0
    for part, start, _ in (word for segment in segments for word in segment["words"]):
        at = text.index(part.strip(), at)
        if (at == 0 or text[at - 1] == " ") and part.strip() != "?":
            starts.append(start)
        at += len(part.strip())
    return starts


SHORT = ("en-short.wav", "en-opus.ogg", "en-noisy.mp3", "fr-short.wav", "fr-opus.ogg", "fr-noisy.mp3")
LONG = ("en-long.mp4", "fr-long.mp4")


@pytest.fixture(scope="session", autouse=True)
def _settled() -> None:
    """One thread, and whisper's vocabulary read: it leaves that file to the garbage collector, which complains."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        get_encoding(name="multilingual", num_languages=99)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small checkpoint, unpacked once."""
    path = tmp_path_factory.mktemp("model") / "micro-whisper.pt"
    with gzip.open(DATA / "micro-whisper.pt.gz") as packed, path.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    return path


@pytest.fixture
def transcribe(checkpoint: Path, tmp_path: Path) -> Transcribe:
    """Return a function that transcribes a file with the small checkpoint, in this process."""

    def run(
        audio: Path, language: str = "auto", *, job: str = "job", context: Any = None, **options: Any
    ) -> Transcript:
        context = context or fake_context(tmp_path / job, audio, step="transcribe", threads=1)
        options = {"model": str(checkpoint)} | options
        own = load_settings().of_plugin("transcript", TranscriptSettings)
        return transcribe_lecture(
            fake_job(audio, language=language, steps=("transcribe",)), audio, TranscribeOptions(**options), context, own
        )

    return run


def said(transcript: Transcript) -> str:
    return " ".join(segment.text for segment in transcript.segments)


def load(path: Path) -> Samples:
    samples: Samples = np.concatenate(list(iter_audio(path)))
    return samples


def save(path: Path, samples: Samples) -> Path:
    """Write a WAV of 16 bits; of several channels, one a row."""
    samples = np.atleast_2d(samples)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(samples))
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples.T, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def silence(seconds: float) -> Samples:
    """Return a noise floor as of a quiet room."""
    noise = np.random.default_rng(1).standard_normal(round(seconds * RATE))
    return (0.0005 * noise).astype(np.float32)


def noise(seconds: float) -> Samples:
    """Return white noise as of a badly tuned radio."""
    return (0.1 * np.random.default_rng(2).standard_normal(round(seconds * RATE))).astype(np.float32)


def music(seconds: float) -> Samples:
    """Return chords with overtones that swell and fade, four notes to a chord, two chords a second."""
    clock = np.arange(round(seconds * RATE)) / RATE
    beat = np.floor(clock * 2).astype(int)
    root = 220 * 2 ** (np.array([0, 5, 7, 3, 8, 5, 10, 0])[beat % 8] / 12)
    envelope = np.exp(-3 * (clock * 2 % 1))
    waves = [
        np.sin(2 * np.pi * root * ratio * overtone * clock) / overtone
        for ratio in (1, 5 / 4, 3 / 2)
        for overtone in (1, 2, 3, 4)
    ]
    sound: Samples = (0.08 * envelope * np.sum(waves, axis=0)).astype(np.float32)
    return sound
