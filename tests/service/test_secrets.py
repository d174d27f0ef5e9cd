"""A service at work has secrets; none of them is where others look: processes, logs, files of jobs, traces."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from core import jobs
from core.settings import Settings

from .conftest import RedisServer, child_of, until

#: By variable; each is told apart by what comes after "hush-".
SECRETS = {
    "AMPHIPOD_WEBHOOK_SECRET": "hush-webhook",
    "AMPHIPOD_RUNNER_TOKEN": "hush-runner",
    "AMPHIPOD_XAPI_LRS_PWD": "hush-lrs",
    "POD_API_TOKEN": "hush-pod",
    "DATABASE_PASSWORD": "hush-database",
}


@pytest.fixture
def secrets(redis_server: RedisServer, toy_service: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The service's settings, with a Redis that wants a password."""
    redis_server.client.config_set("requirepass", "hush-broker")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    url = redis_server.url.replace("//", "//:hush-broker@")
    monkeypatch.setenv("AMPHIPOD_BROKER_URL", url)
    return toy_service.model_copy(update={"broker_url": url})


@pytest.fixture
def log(secrets: Settings, tmp_path: Path) -> Iterator[Path]:
    """What `amphipod worker encoding callbacks` writes, in a process of its own."""
    log = tmp_path / "worker.log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "core.cli", "worker", "encoding", "callbacks", "--grace", "1"]
        process = subprocess.Popen(command, stderr=file, stdout=file, env=os.environ | {"AMPHIPOD_LOG_LEVEL": "debug"})
    until(lambda: log.read_text().count("ready for action") == 2, what="the workers start")
    yield log
    process.send_signal(signal.SIGTERM)
    process.wait(30)


def descendants(pid: int) -> list[int]:
    """Return all processes below one, whatever session they are in."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into all processes")
def test_no_process_of_a_worker_shows_one_in_its_environment_or_its_command_line(log: Path, secrets: Settings) -> None:
    job = jobs.submit("a.mp4", options={"do": {"sleep": 10}}, settings=secrets)
    child = child_of(job)

    shown: dict[str, bytes] = {}
    for pid in descendants(os.getpid()):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"core." in command:
            shown[f"{pid}: {command.decode()}"] = command + Path(f"/proc/{pid}/environ").read_bytes()

    kinds = [any(kind in name for name in shown) for kind in ("core.cli", "core.actors", f"{child}:")]
    assert kinds == [True, True, True], "the command, its workers, and the child of the step"
    assert [name for name, text in shown.items() if b"hush" in text] == []
    jobs.cancel(job, settings=secrets)


def test_no_log_line_and_no_file_of_a_job_holds_one(log: Path, secrets: Settings) -> None:
    told = [
        jobs.submit("a.mp4", options={"do": {name: "a word and "}}, settings=secrets, correlation_id=name)
        for name in ("write", "log", "refuse", "blow_up")
    ]
    for job in told:
        until((secrets.jobs_root / "jobs" / job / "manifest.json").exists, what=f"{job} ends")

    files = [path for path in secrets.jobs_root.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert [path for path in [*files, log] if b"hush" in path.read_bytes()] == []


def test_a_job_that_says_a_secret_aloud_has_it_hidden_in_its_story_and_in_the_log(log: Path, secrets: Settings) -> None:
    words = f"{SECRETS['POD_API_TOKEN']} redis://:hush-broker@redis/0 https://anna:hush-any@host/"
    job = jobs.submit("a.mp4", options={"do": {"log": words, "blow_up": words}}, settings=secrets)
    folder = secrets.jobs_root / "jobs" / job
    until((folder / "manifest.json").exists, what="it fails")

    story = "".join(path.read_text() for path in (folder / "story").iterdir())
    assert "redis://:[hidden]@redis/0" in story
    assert "hush" not in story + log.read_text()


#: Logs as others do, each in the way that says most.
PORTAL = """
    import logging, sys, traceback

    import core, structlog
    from rich.console import Console
    from rich.traceback import Traceback

    logging.basicConfig(level="DEBUG", stream=sys.stdout)
    for call in (
        lambda: core.submit("a.mp4"),
        lambda: core.status("j1"),
        lambda: core.submit_statements([{"verb": "played"}]),
        lambda: core.jobs.resume(),
    ):
        try:
            call()
        except Exception as error:
            logging.exception("as Python does")
            structlog.get_logger().exception("as structlog comes, with variables")
            Console(width=300).print(Traceback(show_locals=True))
            while error:
                shown = traceback.TracebackException.from_exception(error, capture_locals=True)
                print("as Django and Sentry do", [frame.locals for frame in shown.stack])
                error = error.__context__
"""


@pytest.mark.long
def test_a_portal_that_embeds_core_logs_and_traces_none(secrets: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = (secrets.broker_url or "").replace("hush-broker", "hush-wrong")
    monkeypatch.setenv("AMPHIPOD_BROKER_URL", wrong)

    done = subprocess.run([sys.executable, "-c", dedent(PORTAL)], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("as Django and Sentry do") >= 4
    assert "refuses the login" in done.stdout
    assert [line for line in (done.stdout + done.stderr).splitlines() if "hush" in line] == []
