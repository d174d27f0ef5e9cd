"""As jobs meet it: the command line, the child process, other engines, a host without the extra."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
import webvtt

from core.errors import StepCrashed
from core.model import Job, Source
from core.pipeline import attempt, lifecycle
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.process import spawn
from core.settings import Settings
from plugins.transcript.conversion import made

from ...conftest import InstallPlugin
from .conftest import DATA, clip, load, save, silence

MODEL = DATA / "micro-whisper.pt.gz"

LISTENER = """
    from core import Segment, Transcript, hookimpl

    @hookimpl
    def transcribe(job, audio):
        text = "Bonjour à tous. Avez-vous des questions ?"
        return Transcript(language="fr", segments=[Segment(text=text, start=0, end=4)])
"""

#: An import of these fails, as on a host that hasn't installed the extra.
WITHOUT = """
    import sys
    for name in ("torch", "whisper", "silero_vad", "numba"):
        sys.modules[name] = None
"""


@pytest.fixture(autouse=True)
def _no_child_is_kept() -> Any:
    yield
    spawn.keeper.end()


def amphipod(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "core.cli", *arguments], env={**os.environ, **variables}, capture_output=True, text=True
    )


def text_of(path: Path) -> str:
    """Return what the captions of a file say, with plain spaces before signs."""
    return " ".join(" ".join(caption.lines) for caption in webvtt.read(str(path)).captions).replace("\u202f", " ")


def test_a_lecture_s_captions_by_the_command_line() -> None:
    known = clip("fr-opus.ogg")
    options = ["--option", f"model={MODEL}", "--option", "formats=vtt,json"]
    done = amphipod("run", known.path, "--steps", "transcribe", "--out", "result", "--json", *options)

    assert done.returncode == 0, done.stderr
    step = json.loads(done.stdout)["steps"]["transcribe"]
    assert step["facts"]["language"] == "fr"
    assert step["facts"]["language_probability"] > 0.9
    assert text_of(Path("result/transcript_fr.vtt")) == known.text
    assert {path.name for path in Path("result").iterdir()} == {"transcript_fr.vtt", "transcript_fr.json"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--language", "xx", "--option", f"model={MODEL}"], 2, "'xx' is no language that whisper knows"),
        (["--option", "model=base"], 2, "fetch it once with `amphipod models pull base`"),
        (["--option", "line_length=60"], 2, "option 'line_length' (set by job)"),
        (["--option", "glosary=x"], 2, "did you mean 'glossary'?"),
    ],
)
def test_mistakes_in_one_line(arguments: list[str], code: int, words: str, tmp_path: Path) -> None:
    done = amphipod(
        "run",
        clip("fr-short.wav").path,
        "--steps",
        "transcribe",
        *arguments,
        AMPHIPOD_TRANSCRIPT_FOLDER=str(tmp_path / "none"),
    )

    assert done.returncode == code
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_models_are_listed(tmp_path: Path) -> None:
    (tmp_path / "small.pt").touch()
    done = amphipod("models", "list", AMPHIPOD_TRANSCRIPT_FOLDER=str(tmp_path))

    lines = dict(line.split() for line in done.stdout.splitlines())
    assert (lines["small"], lines["base"]) == ("here", "-")


def host(tmp_path: Path, **settings: Any) -> Host:
    fixed = {"jobs_root": tmp_path / "root", "run_dir": tmp_path / "run", "threads": 1}
    chosen = Settings(**fixed, **settings)
    return Host(chosen, Manager(chosen))


def job(audio: Path, **fields: Any) -> Job:
    options = {"model": str(MODEL)} | fields.pop("options", {})
    fixed = {"id": lifecycle.new_id(), "sources": (Source(path=audio),), "steps": ("transcribe",)}
    return Job(**fixed, options=options, **fields)


def run(there: Host, one: Job) -> Any:
    folder, _ = lifecycle.submit(one, there.settings.jobs_root)
    return folder, attempt.run_step(there, folder, "transcribe")


def test_a_translation_is_a_second_track(tmp_path: Path) -> None:
    _, result = run(host(tmp_path), job(clip("fr-short.wav").path, language="fr", options={"translate": True}))

    captions = [artifact for artifact in result.artifacts if artifact.media_type == "text/vtt"]
    assert [(track.path, track.language) for track in captions] == [
        ("transcript_fr.vtt", "fr"),
        ("transcript_en.vtt", "en"),
    ]


def test_silence_is_a_success_with_empty_captions(tmp_path: Path) -> None:
    folder, result = run(host(tmp_path), job(DATA / "silence.wav", language="fr"))

    assert result.state == "succeeded"
    assert result.notes == ("nobody speaks in this recording, so its captions are empty",)
    files = folder.path / result.folder
    assert webvtt.read(str(files / "transcript_fr.vtt")).captions == []
    assert (files / "transcript_fr.srt").read_text() == (files / "transcript_fr.txt").read_text() == ""


def test_the_model_is_loaded_once_for_two_jobs(tmp_path: Path) -> None:
    there = host(tmp_path)
    seconds = []
    for _ in range(2):
        began = time.monotonic()
        run(there, job(clip("en-short.wav").path, language="en"))
        seconds.append(time.monotonic() - began)

    assert seconds[1] < seconds[0] / 2


@pytest.mark.long
@pytest.mark.parametrize("recogniser", ["openai-whisper float32", "CTranslate2 int8"])
def test_killed_in_the_middle_the_next_attempt_goes_on(tmp_path: Path, checkpoint: Path, recogniser: str) -> None:
    model = MODEL if recogniser.startswith("openai") else made(str(checkpoint), tmp_path / "ct2", tmp_path)
    known = clip("en-noisy.mp3")
    one = np.concatenate([load(known.path), silence(19)])
    long = save(tmp_path / "long.wav", np.concatenate([one] * 6))
    there = host(tmp_path)
    # Sentences that come again are repetitions to the check for loops, and what is then decoded is left to chance.
    options: dict[str, Any] = {"batch_size": 1, "compression_ratio_threshold": None, "fallback_temperatures": []}
    options["model"] = str(model)
    folder, _ = lifecycle.submit(job(long, language="en", options=options), there.settings.jobs_root)

    def kill(progress: Any) -> None:
        if progress.fraction > 0.3:
            (child,) = child_processes()
            os.kill(child, signal.SIGKILL)

    with pytest.raises(StepCrashed, match="transcribe was killed by SIGKILL"):
        attempt.run_step(there, folder, "transcribe", observer=attempt.Observer(kill))
    result = attempt.run_step(there, folder, "transcribe")

    assert (result.attempt, result.facts["recogniser"]) == (2, recogniser)
    assert 0.3 * result.facts["windows"] <= result.facts["windows_resumed"] < result.facts["windows"]
    text = (folder.path / str(result.folder) / "transcript_en.txt").read_text()
    assert len(text.split()) == pytest.approx(6 * len(known.text.split()), rel=0.2)
    assert list(folder.scratch.glob("*.kept")) == []


def child_processes() -> list[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


def test_any_engine_s_transcript_goes_through_the_same_captions(tmp_path: Path, install_plugin: InstallPlugin) -> None:
    install_plugin("listener", LISTENER)
    there = host(tmp_path, plugins_only=("listener", "captions"))
    asked = Job(id="j1", sources=(Source(path=tmp_path / "a.mp3"),), steps=("transcribe",))

    folder, result = run(there, asked)

    assert result.engine.plugin == "listener"
    captions = webvtt.read(str(folder.path / result.folder / "transcript_fr.vtt")).captions
    assert [caption.text for caption in captions] == ["Bonjour à tous.", "Avez-vous des questions\u202f?"]


def test_without_the_extra_other_steps_and_other_engines_work(tmp_path: Path, install_plugin: InstallPlugin) -> None:
    install_plugin("listener", LISTENER)
    (tmp_path / "site" / "sitecustomize.py").write_text(dedent(WITHOUT))
    script = (
        "import sys; from core.plugin_host.manager import Manager; from core.settings import Settings\n"
        "manager = Manager(Settings())\n"
        "print({info.name: info.state for info in manager.infos})\n"
        "print([info.reason for info in manager.infos if info.name == 'transcript'])\n"
        "print(sorted(name for name, module in sys.modules.items() if module and name in"
        " ('av', 'numpy', 'torch', 'whisper', 'silero_vad')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    states, reason, loaded = done.stdout.splitlines()[-3:]
    assert "'transcript': 'unavailable'" in states, done.stderr
    assert "'captions': 'ready'" in states
    assert "pip install 'amphipod[transcript]'" in reason
    assert loaded == "[]"
    Path("a.mp3").touch()
    done = amphipod("run", "a.mp3", "--steps", "transcribe", "--out", "result")
    assert done.returncode == 0, done.stderr
    assert "Bonjour à tous." in Path("result/transcript_fr.vtt").read_text()


def test_importing_the_plugin_loads_nothing_heavy() -> None:
    code = (
        "import sys, plugins.transcript, plugins.transcript.captions_plugin\n"
        "import plugins.transcript.captions.caption_files\n"
        "print(*{'av', 'numpy', 'torch', 'whisper', 'silero_vad'}.intersection(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("\n", "")
