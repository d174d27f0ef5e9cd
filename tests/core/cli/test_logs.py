from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ...conftest import TOY_ENGINE, InstallPlugin

AMPHIPOD = [sys.executable, "-m", "core.cli"]


@pytest.fixture(autouse=True)
def _toy(install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    install_plugin("toy", TOY_ENGINE)
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy")
    Path("a.mp4").write_text("a lecture")


def amphipod(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*AMPHIPOD, *arguments], capture_output=True, text=True, check=False)


def run(*arguments: str, **do: Any) -> str:
    """Do a job in-process, and return its id."""
    done = amphipod("run", "a.mp4", "--json", "--option", f"do={json.dumps(do)}", *arguments)
    return str(json.loads(done.stdout)["job"]["id"])


def test_the_story_of_a_job_done_in_process_is_read_as_text_and_as_json() -> None:
    job = run("--correlation-id", "portal-42", write="x")

    text = amphipod("logs", job).stdout.splitlines()
    lines = [json.loads(line) for line in amphipod("logs", job, "--json").stdout.splitlines()]

    assert text[0] == f"job {job}, correlation id portal-42"
    assert [line["event"] for line in lines] == ["submitted", "taken", "done", "job succeeded"]
    assert len(text) == 1 + len(lines)
    assert " encode       done  attempt=1 seconds=" in text[3]


def test_a_failure_is_shown_with_its_trace() -> None:
    shown = amphipod("logs", run(blow_up="the sky fell")).stdout

    assert "error: failed" in shown
    assert "    ValueError: the sky fell" in shown


@pytest.mark.long
def test_follow_goes_on_until_the_job_is_over() -> None:
    command = [*AMPHIPOD, "run", "a.mp4", "--option", 'do={"sleep": 4, "write": "x"}']
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = Path(os.environ["XDG_DATA_HOME"]) / "amphipod" / "jobs"
    while not (found := list(folder.glob("*/request.json"))):
        assert running.poll() is None

    followed = amphipod("logs", found[0].parent.name, "--follow", "--json")

    assert running.wait() == 0
    assert json.loads(followed.stdout.splitlines()[-1])["event"] == "job succeeded"


@pytest.mark.parametrize(("job", "words"), [("unknown", "no job unknown"), ("../jobs", "'../jobs' is not an id")])
def test_a_job_that_is_not_there_is_said_in_one_line(job: str, words: str) -> None:
    done = amphipod("logs", job)

    assert done.returncode == 2
    assert done.stderr.startswith(f"amphipod: {words}")
    assert len(done.stderr.splitlines()) == 1


def test_a_correlation_id_that_no_header_can_carry_is_refused() -> None:
    done = amphipod("run", "a.mp4", "--steps", "encode", "--correlation-id", "two\nlines")

    assert done.returncode == 2
    assert done.stderr.startswith("amphipod: --correlation-id 'two\\nlines' is no correlation id")
