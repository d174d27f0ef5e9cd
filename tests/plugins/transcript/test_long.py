"""Two hours, as lectures last: `make test-long`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from plugins.transcript.sound.windows import RATE

from .conftest import DATA, load, silence

SCRIPT = """
import json, re, sys
from pathlib import Path
from core.testing import fake_context, fake_job
from plugins.transcript.engine import transcribe_lecture
from plugins.transcript.options import TranscribeOptions

audio, model, folder = map(Path, sys.argv[1:])
context = fake_context(folder, audio, step="transcribe", threads=1)
heard = transcribe_lecture(fake_job(audio, language="auto"), audio, TranscribeOptions(model=str(model)), context)
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024  # rusage's is inherited
last = heard.segments[-1].end
words = sum(len(segment.words) for segment in heard.segments)
print(json.dumps({"peak": peak, "last": last, "words": words, "language": heard.language, **heard.facts}))
"""


@pytest.mark.long
def test_two_hours_take_bounded_memory(checkpoint: Path, tmp_path: Path) -> None:
    lecture = tmp_path / "lecture.wav"
    turn = np.concatenate([load(DATA / "fr-noisy.mp3"), silence(3), load(DATA / "fr-opus.ogg"), silence(6)])
    with wave.open(str(lecture), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        for _ in range(round(7200 * RATE / len(turn))):
            file.writeframes((turn * 32767).astype("<i2").tobytes())
    seconds = lecture.stat().st_size / 2 / RATE

    command: list[str | Path] = [sys.executable, "-c", SCRIPT, lecture, checkpoint, tmp_path / "job"]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["peak"] < 1.5e9
    assert found["duration"] == pytest.approx(seconds, abs=1)
    assert found["last"] > seconds - 60
    assert found["language"] == "fr"
