"""The commands about jobs and workers, as an admin types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core import jobs
from core.model import State
from core.settings import Settings

from ..conftest import TOY_ENGINE, InstallPlugin
from .conftest import RedisServer, child_of, children, is_alive, until

AMPHIPOD = [sys.executable, "-m", "core.cli"]


@pytest.fixture(autouse=True)
def _among_the_lectures(toy_service: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy_service.media_roots[0])


def amphipod(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*AMPHIPOD, *arguments], capture_output=True, text=True, check=False)


def submit(*arguments: str, **do: Any) -> str:
    done = amphipod("submit", "a.mp4", "--json", "--option", f"do={json.dumps(do)}", *arguments)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["id"])


@pytest.fixture
def worker(toy_service: Settings, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`amphipod worker encoding callbacks`, in the foreground of a process of its own."""
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen([*AMPHIPOD, "worker", "encoding", "callbacks"], stderr=log, stdout=log)
    until(lambda: (tmp_path / "worker.log").read_text().count("ready for action") == 2, what="the workers start")
    yield process
    process.send_signal(signal.SIGTERM)
    process.wait(30)


def test_submit_prints_an_id_that_status_knows(toy_service: Settings) -> None:
    job = submit(write="x")

    status = json.loads(amphipod("status", job, "--json").stdout)
    waiting = {"id": job, "state": "waiting", "steps": {"encode": {"state": "waiting"}}}
    assert status == waiting | {"unserved": "encoding"}


@pytest.mark.long
def test_wait_follows_a_job_to_its_end(worker: subprocess.Popen[bytes]) -> None:
    job = submit(sleep=6, write="x")

    done = amphipod("wait", job)

    assert done.returncode == 0
    assert "x realtime" in done.stderr
    assert done.stdout.splitlines()[0] == f"{job} succeeded"


def test_a_killed_worker_command_leaves_nobody_working_beside_the_next_one(
    worker: subprocess.Popen[bytes], toy_service: Settings
) -> None:
    job = submit(sleep=60)
    child = child_of(job)
    masters = children(worker.pid)
    below = [child, *masters, *(pid for master in masters for pid in children(master))]
    assert len(masters) == 2

    worker.kill()

    until(lambda: not any(map(is_alive, below)), 20, "all processes of the service end")
    until(lambda: jobs.status(job, settings=toy_service).state is State.WAITING, 10, "its job is for others to do")


def test_submit_and_wait_in_one_command_fails_as_the_job_does(worker: subprocess.Popen[bytes]) -> None:
    done = amphipod("submit", "a.mp4", "--wait", "--option", 'do={"refuse": "blank"}')

    assert done.returncode == 1
    assert "failed: encode: a.mp4: blank" in done.stdout


def test_cancel_and_retry(worker: subprocess.Popen[bytes]) -> None:
    job = submit(sleep=3, write="x")
    child_of(job)

    assert json.loads(amphipod("cancel", job, "--json").stdout)["state"] == "cancelled"
    until(lambda: amphipod("retry", job).returncode == 0, what="it is closed, then retried")

    assert amphipod("wait", job).returncode == 0


def test_the_same_key_is_the_same_job(toy_service: Settings) -> None:
    assert submit("--idempotency-key", "42", write="x") == submit("--idempotency-key", "42", write="x")


def test_two_engines_are_ambiguous_at_submit(
    toy_service: Settings, install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugin("other", TOY_ENGINE)
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy,other")

    done = amphipod("submit", "a.mp4")

    assert done.returncode == 2
    assert "encode: other and toy can all do it: name one in the job" in done.stderr


def test_an_engine_that_only_the_workers_have_may_be_named(toy_service: Settings) -> None:
    assert submit("--engine", "encode=theirs", write="x")


def test_a_source_outside_the_media_roots_is_refused(toy_service: Settings) -> None:
    done = amphipod("submit", "/etc/hostname")

    assert done.returncode == 2
    assert "lies outside the media roots" in done.stderr


def test_an_unknown_job_is_exit_code_2(toy_service: Settings) -> None:
    done = amphipod("status", "nobody")

    assert done.returncode == 2
    assert done.stderr.startswith("amphipod: no job nobody")


def test_a_dead_redis_is_exit_code_3(toy_service: Settings, redis_server: RedisServer) -> None:
    redis_server.kill()

    for command in (["submit", "a.mp4"], ["jobs"], ["workers"], ["worker", "encoding"], ["resume"]):
        done = amphipod(*command)
        assert done.returncode == 3, command
        assert len(done.stderr.splitlines()) == 1
    redis_server.start()


@pytest.mark.parametrize("command", [["submit", "a.mp4"], ["workers"], ["worker", "encoding"]])
def test_no_broker_is_exit_code_2(command: list[str], toy_service: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMPHIPOD_BROKER_URL")

    done = amphipod(*command)

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "amphipod: no broker: set AMPHIPOD_BROKER_URL=redis://host:6379/0, or use `amphipod run`"
    ]


def test_a_bare_dramatiq_without_a_broker_says_so(toy_service: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMPHIPOD_BROKER_URL")

    done = subprocess.run(
        [sys.executable, "-m", "dramatiq", "core.actors", "-p", "1"], capture_output=True, text=True, timeout=30
    )

    assert done.returncode == 2
    assert "amphipod: no broker: set AMPHIPOD_BROKER_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_jobs_and_workers_show_the_service(worker: subprocess.Popen[bytes], redis_server: RedisServer) -> None:
    job = submit(sleep=30)
    child_of(job)

    shown = amphipod("jobs").stdout
    assert f"running    {job}  a.mp4  encode" in shown
    found = json.loads(amphipod("workers", "--json").stdout)
    assert sorted(one["queues"] for one in found) == [["callbacks"], ["encoding"]]


class TestWorkerCommand:
    @pytest.mark.long
    def test_a_worker_that_dies_is_started_again(
        self, worker: subprocess.Popen[bytes], tmp_path: Path, redis_server: RedisServer
    ) -> None:
        (encoding,) = [
            one["pid"] for one in json.loads(amphipod("workers", "--json").stdout) if one["queues"] == ["encoding"]
        ]

        os.kill(encoding, signal.SIGKILL)

        until(lambda: (tmp_path / "worker.log").read_text().count("ready for action") == 3, what="a new one starts")
        assert amphipod("wait", submit(write="x")).returncode == 0

    def test_sigterm_hands_jobs_back_and_leaves_no_process(
        self, worker: subprocess.Popen[bytes], redis_server: RedisServer
    ) -> None:
        job = submit(sleep=60)
        child = child_of(job)

        worker.send_signal(signal.SIGTERM)

        assert worker.wait(15) == 0
        assert not is_alive(child)
        assert json.loads(amphipod("status", job, "--json").stdout)["state"] == "waiting"
        assert redis_server.client.llen("amphipod:encoding") == 1

    def test_an_unknown_queue_is_refused(self, toy_service: Settings) -> None:
        done = amphipod("worker", "dancing")

        assert done.returncode == 2
        assert "there are encoding, transcripting, xapi, callbacks" in done.stderr


def test_a_portal_can_import_submit_without_loading_the_service() -> None:
    code = (
        "import sys; import core; core.submit, core.status\n"
        "assert not {'av', 'dramatiq', 'redis', 'torch'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
