"""`retry`, `resume` and `cancel` without a broker: the job is done by the command itself, and what is done is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ...conftest import TOY_ENGINE, InstallPlugin

AMPHIPOD = [sys.executable, "-m", "core.cli"]

#: Fails until a file `mended` is there.
CAPTIONS = """
    import os, time
    from pathlib import Path

    from core import Access, Artifact, BadSource, Transcript, hookimpl

    @hookimpl
    def child_access():
        return Access(write=(os.environ["TMPDIR"],))

    @hookimpl
    def transcribe(context):
        if Path(os.environ["TMPDIR"], "slow").exists():
            Path(os.environ["TMPDIR"], "listening").touch()
            time.sleep(60)
        if not Path(os.environ["TMPDIR"], "mended").exists():
            raise BadSource("nothing is heard")
        return Transcript(language="en", segments=())

    @hookimpl
    def write_captions(transcript, context):
        (context.output / "a.vtt").touch()
        return [Artifact(kind="caption", path="a.vtt", media_type="text/vtt")]
"""


@pytest.fixture(autouse=True)
def tmp(install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch) -> Path:
    install_plugin("toy", TOY_ENGINE)
    install_plugin("captions_of_ours", CAPTIONS)
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy,captions_of_ours")
    Path("a.mp4").write_text("a lecture")
    return Path(os.environ["TMPDIR"])


def amphipod(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*AMPHIPOD, *arguments], capture_output=True, text=True, check=False)


def run() -> str:
    done = amphipod("run", "a.mp4", "--steps", "encode,transcribe", "--out", "result", "--json")
    assert done.returncode == 1
    return str(json.loads(done.stdout)["job"]["id"])


def stop_while_listening(tmp: Path, number: signal.Signals) -> str:
    (tmp / "slow").touch()
    command = [*AMPHIPOD, "run", "a.mp4", "--steps", "encode,transcribe", "--out", "result"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while not (tmp / "listening").exists():
        time.sleep(0.05)
    process.send_signal(number)
    words = process.communicate(timeout=20)[1]
    (tmp / "slow").unlink()
    (tmp / "mended").touch()
    (job,) = Path("data/amphipod/jobs").iterdir()
    assert process.returncode == (128 + number if number != signal.SIGKILL else -number)
    assert number == signal.SIGKILL or f"`amphipod retry {job.name}` goes on" in words
    return job.name


def test_a_failed_job_is_tried_again_here_and_what_succeeded_is_kept(tmp: Path) -> None:
    job = run()
    (tmp / "mended").touch()

    done = amphipod("retry", job)

    assert done.returncode == 0
    assert "transcribe: succeeded" in done.stderr
    assert "encode" not in done.stderr
    assert Path("result/a.vtt").exists()


def test_only_a_step_that_failed_is_tried_again_by_its_name(tmp: Path) -> None:
    job = run()
    (tmp / "mended").touch()

    kept = amphipod("retry", job, "--step", "encode")
    assert (kept.returncode, kept.stderr) == (
        2,
        f"amphipod: encode of job {job} has succeeded: what succeeded is kept\n",
    )
    assert amphipod("retry", job, "--step", "transcribe").returncode == 0
    assert Path("result/a.vtt").exists()


def test_a_job_that_was_interrupted_goes_on_with_what_is_left(tmp: Path) -> None:
    job = stop_while_listening(tmp, signal.SIGINT)
    assert not Path("result/360p.mp4").exists()

    done = amphipod("retry", job, "--json")

    assert done.returncode == 0
    assert json.loads(done.stdout)["steps"]["encode"]["state"] == "succeeded"
    assert "encode" not in done.stderr
    assert Path("result/360p.mp4").exists()


def test_a_job_whose_command_was_killed_is_resumed(tmp: Path) -> None:
    job = stop_while_listening(tmp, signal.SIGKILL)

    done = amphipod("resume", "--json")

    assert done.returncode == 0
    assert json.loads(done.stdout) == {"resumed": [job]}
    assert Path("result/360p.mp4").exists()
    assert json.loads(amphipod("resume", "--json").stdout) == {"resumed": []}


def test_a_job_that_another_command_works_on_is_not_resumed(tmp: Path) -> None:
    (tmp / "slow").touch()
    process = subprocess.Popen([*AMPHIPOD, "run", "a.mp4", "--steps", "encode,transcribe"], stderr=subprocess.DEVNULL)
    while not (tmp / "listening").exists():
        time.sleep(0.05)

    assert json.loads(amphipod("resume", "--json").stdout) == {"resumed": []}
    process.send_signal(signal.SIGINT)
    process.wait(20)


def test_a_job_that_nobody_works_on_is_cancelled_for_good(tmp: Path) -> None:
    job = stop_while_listening(tmp, signal.SIGKILL)

    assert amphipod("cancel", job).stdout.splitlines()[0] == f"{job} cancelled"
    assert amphipod("retry", job).returncode == 0
