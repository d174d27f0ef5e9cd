"""The example's engine, installed from its folder: asked for by name, and heard like the built-in one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import webvtt

from .conftest import ROOT, clip

EXAMPLE = ROOT / "examples/faster_whisper_engine"


@pytest.fixture(scope="module")
def installed(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install the example into a folder of its own, convert the checkpoint, and return the environment to run it in."""
    site, source = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("example") / "source"
    shutil.copytree(EXAMPLE, source)
    command = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", *command, "--target", site, source], check=True)
    folder = site / "ct2"
    subprocess.run([sys.executable, EXAMPLE / "convert.py", checkpoint, folder], check=True)
    return {"PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1", "CT2": str(folder)}


def run(installed: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "core.cli",
        "run",
        clip("fr-opus.ogg").path,
        "--steps",
        "transcribe",
        "--json",
    ]
    return subprocess.run(
        [*command, "--out", "result", *arguments], env={**os.environ, **installed}, capture_output=True, text=True
    )


def step(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["steps"]["transcribe"]


def test_it_hears_the_same_and_writes_the_same_files(installed: dict[str, str]) -> None:
    made = step(run(installed, "--engine", "transcribe=faster-whisper", "--option", f"folder={installed['CT2']}"))

    assert (made["engine"]["plugin"], made["engine"]["distribution"]) == ("faster-whisper", "amphipod-faster-whisper")
    assert made["facts"]["language"] == "fr"
    assert made["facts"]["language_probability"] > 0.9
    assert [artifact["path"] for artifact in made["artifacts"]] == [
        f"transcript_fr.{suffix}" for suffix in ("vtt", "srt", "json", "txt")
    ]
    shown = " ".join(" ".join(caption.lines) for caption in webvtt.read("result/transcript_fr.vtt").captions)
    assert shown.replace("\u202f", " ") == clip("fr-opus.ogg").text
    words = json.loads(Path("result/transcript_fr.json").read_text())["segments"][0]["words"]
    assert {"text", "start", "end", "confidence"} == set(words[0])


def test_it_does_not_take_over_because_it_is_installed(installed: dict[str, str]) -> None:
    done = run(installed)

    assert done.returncode == 2
    assert "faster-whisper and transcript can all do it" in done.stderr


def test_a_setting_chooses_it(installed: dict[str, str]) -> None:
    chosen = {
        "AMPHIPOD_ENGINES": '{"transcribe": ["faster-whisper"]}',
        "AMPHIPOD_OPTIONS": json.dumps({"folder": installed["CT2"]}),
    }
    assert step(run(installed | chosen))["engine"]["plugin"] == "faster-whisper"


def test_a_folder_that_was_not_converted_is_told(installed: dict[str, str], tmp_path: Path) -> None:
    done = run(installed, "--engine", "transcribe=faster-whisper", "--option", f"folder={tmp_path}")

    assert done.returncode == 1
    assert json.loads(done.stdout)["reason"].endswith(f"no model.bin in {tmp_path}: make the folder with convert.py")
