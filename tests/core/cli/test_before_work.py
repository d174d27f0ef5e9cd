"""What can be known before any work is told then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ...conftest import TOY_ENGINE, InstallPlugin

AMPHIPOD = [sys.executable, "-m", "core.cli"]

NO_MODEL = """
    from pydantic import BaseModel

    from core import BadCall, PluginUnavailable, hookimpl

    class Options(BaseModel):
        model: str = "small"

    @hookimpl
    def options_schema(step):
        return Options if step == "transcribe" else None

    @hookimpl
    def transcribe(): ...

    @hookimpl
    def write_captions(): ...

    @hookimpl
    def check_step(job, options):
        if job.language == "tlh":
            raise BadCall("nobody knows Klingon")
        raise PluginUnavailable(f"no model {options['model']}", remedy="fetch it")
"""

KNOWN_OPTIONS = """
    from pydantic import BaseModel

    class Options(BaseModel):
        profile: str = "pod"

    @hookimpl
    def options_schema(step):
        return Options if step == "encode" else None
"""


@pytest.fixture(autouse=True)
def _plugins(install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    install_plugin("toy", TOY_ENGINE + KNOWN_OPTIONS)
    install_plugin("hearing", NO_MODEL)
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy,hearing")
    Path("a.mp4").touch()


def amphipod(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*AMPHIPOD, *arguments], capture_output=True, text=True, check=False)


def test_a_step_that_lacks_something_here_is_left_out_with_the_line_that_mends_it() -> None:
    done = amphipod("run", "a.mp4")

    assert done.returncode == 0
    assert "left out: transcribe: no model small: fetch it" in done.stderr.splitlines()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["--steps", "encode,transcribe"], "transcribe: no model small: fetch it"),
        (["--engine", "transcribe=hearing"], "transcribe: no model small: fetch it"),
        (["--option", "model=large"], "transcribe: no model large: fetch it"),
        (["--language", "tlh"], "nobody knows Klingon"),
    ],
)
def test_it_is_refused_when_it_was_asked_for(asked: list[str], words: str) -> None:
    done = amphipod("run", "a.mp4", *asked)

    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, f"amphipod: {words}")
    assert not Path("data").exists()


def test_a_slip_in_the_host_s_own_options_is_no_silent_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPHIPOD_OPTIONS", '{"profil": "lecture"}')

    done = amphipod("run", "a.mp4", "--steps", "encode")

    words = "amphipod: AMPHIPOD_OPTIONS: no step has an option 'profil': did you mean 'profile'?"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, words)


def test_a_variable_that_nobody_reads_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPHIPOD_STEP_ATTEMPT", "5")

    done = amphipod("run", "a.mp4", "--steps", "encode")

    assert done.returncode == 0
    assert done.stderr.splitlines()[0] == (
        "amphipod: AMPHIPOD_STEP_ATTEMPT is no setting: did you mean AMPHIPOD_STEP_ATTEMPTS?"
    )
