"""`amphipod plugins`, `hooks` and `doctor`, on a host where a good plugin stands beside broken ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.plugin_host.manager import specifications

from ...conftest import InstallPlugin

GOOD = """
from core import hookimpl

@hookimpl
def step_options(step):
    return {'crf': 24} if step == 'encode' else None
"""

BROKEN = {
    "import_error": "import nowhere",
    "unknown_hook": "from core import hookimpl\n@hookimpl\ndef encoed(job): ...",
    "bad_argument": "from core import hookimpl\n@hookimpl\ndef encode(job, film): ...",
    "raising": "from core import hookimpl\n@hookimpl\ndef configure():\n    raise ValueError('no token')",
}


def amphipod(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "core.cli", *arguments], capture_output=True, text=True)


@pytest.fixture
def good(install_plugin: InstallPlugin) -> None:
    install_plugin("good", GOOD, version="2.1")


@pytest.fixture
def broken(install_plugin: InstallPlugin) -> None:
    for name, code in BROKEN.items():
        install_plugin(name, code)


@pytest.mark.usefixtures("good", "broken")
def test_plugins_are_listed_with_version_hooks_and_state() -> None:
    listed = {one["name"]: one for one in json.loads(amphipod("plugins", "--json").stdout)}
    assert listed["good"] == {
        "name": "good",
        "distribution": "amphipod-good",
        "version": "2.1",
        "state": "ready",
        "hooks": ["step_options"],
        "reason": "",
        "step": None,
    }
    assert listed["encode"]["state"] == "ready"
    assert {listed[name]["state"] for name in BROKEN} == {"failed", "invalid"}


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the built-in transcription's model, without which it can't be done."""
    monkeypatch.setenv("AMPHIPOD_TRANSCRIPT_FOLDER", str(Path.cwd()))
    Path("small.pt").touch()


@pytest.mark.usefixtures("good", "broken")
def test_each_broken_plugin_is_named_with_its_reason() -> None:
    done = amphipod("plugins")
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("No module named 'nowhere'", "unknown hook 'encoed'", "'film'", "configure: ValueError: no token"):
        assert words in done.stdout


@pytest.mark.usefixtures("good", "weights")
def test_doctor_is_content_with_a_sound_host_and_says_who_set_what() -> None:
    done = amphipod("doctor")
    assert done.returncode == 0, done.stdout
    assert "ok   step encode: done by encode, crf set by good" in done.stdout


@pytest.mark.usefixtures("good", "broken", "weights")
def test_doctor_fails_on_a_broken_plugin_and_names_it() -> None:
    done = amphipod("doctor", "--json")
    findings = json.loads(done.stdout)["findings"]
    assert done.returncode == 1
    assert {one["subject"] for one in findings if one["ok"] is False} == {
        f"plugin {name} (amphipod-{name.replace('_', '-')} 1.0)" for name in BROKEN
    }


@pytest.mark.usefixtures("broken")
def test_a_strict_host_refuses_to_work_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPHIPOD_PLUGINS_STRICT", "true")
    done = amphipod("run", "lecture.mp4")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert all(f"plugin {name} " in done.stderr for name in BROKEN)


def test_doctor_names_a_jobs_root_that_can_t_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a file").touch()
    monkeypatch.setenv("AMPHIPOD_JOBS_ROOT", "a file")
    done = amphipod("doctor")
    assert done.returncode == 1
    assert "FAIL jobs root a file" in done.stdout


def test_hooks_are_printed_with_arguments_and_meaning() -> None:
    printed = json.loads(amphipod("hooks", "--json").stdout)
    assert [one["name"] for one in printed] == [name for name, _ in specifications()]
    assert all(one["documentation"] for one in printed)
    assert "job_failed(job: Job, result: StepResult) -> None\n    Learn that a job" in amphipod("hooks").stdout


def test_a_plugin_s_own_command_is_one_of_amphipod_s(install_plugin: InstallPlugin) -> None:
    install_plugin(
        "greeter",
        """
        from core import hookimpl

        @hookimpl
        def register_commands(cli):
            @cli.command()
            def greet(name: str) -> None:
                print("hello", name)
        """,
    )
    assert amphipod("greet", "Ada").stdout == "hello Ada\n"
    assert " greet " in amphipod("--help").stdout
