"""A plugin's step on a queue of its own: done by those who have the plugin, waited for by the others, never lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from core import jobs
from core.jobs import Status
from core.model import State
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.queue import monitor
from core.settings import Settings

from ..conftest import TOY_ENGINE, TOY_STEP, InstallPlugin
from .conftest import RedisServer, Start, child_of, is_alive, result_of, until

Ended = Callable[..., Status]


@pytest.fixture
def toy_service(service: Settings, install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The toy's service, where a plugin brings the step `index`."""
    install_plugin("toy", TOY_ENGINE)
    install_plugin("indexer", TOY_STEP)
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy,indexer")
    return service.model_copy(update={"plugins_only": ("toy", "indexer")})


def submit(settings: Settings, **options: object) -> str:
    return jobs.submit("a.mp4", steps=["index", "encode"], options=options, settings=settings)


@pytest.mark.long
def test_the_command_serves_its_queue_and_a_host_without_the_plugin_publishes(
    toy_service: Settings, redis_server: RedisServer, start: Start, ended: Ended
) -> None:
    start("encoding", "callbacks", threads=2, plugins_only="toy")
    job = submit(toy_service, words=2)
    until(lambda: jobs.status(job, settings=toy_service).unserved == "indexing", what="nobody reads its queue")
    assert monitor.counts(redis_server.client)["indexing"]["waiting"] == 1
    worker = subprocess.Popen([sys.executable, "-m", "core.cli", "worker", "indexing"], stderr=subprocess.DEVNULL)
    try:
        assert ended(job).state is State.SUCCEEDED
    finally:
        worker.terminate()
        worker.wait(30)
    assert result_of(toy_service, job, "index")["engine"]["plugin"] == "indexer"


@pytest.mark.long
def test_killed_in_mid_step_it_runs_again_and_is_published_once(
    toy_service: Settings, start: Start, ended: Ended
) -> None:
    first = start("encoding", "indexing", "callbacks", threads=2)
    job = submit(toy_service, linger=60)
    child = child_of(job)
    for pid in [*first.pids, first.process.pid]:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(child), what="the child dies with its worker")
    os.unlink(os.path.join(os.environ["TMPDIR"], f"child-{job}"))  # noqa: PTH108, PTH118
    start("encoding", "indexing", "callbacks", threads=2)
    again = child_of(job, within=60)
    jobs.cancel(job, settings=toy_service)
    until(lambda: not is_alive(again), what="a cancel ends it")
    assert ended(job).state is State.CANCELLED


def test_a_failed_one_is_retried_and_what_succeeded_is_kept(toy_service: Settings, start: Start, ended: Ended) -> None:
    start("encoding", "indexing", "callbacks", threads=2)
    job = submit(toy_service, fail_once=True)
    assert ended(job).reason == "index: a.mp4: too dark to read"
    jobs.retry(job, settings=toy_service)
    until(lambda: jobs.status(job, settings=toy_service).state is State.SUCCEEDED, within=30, what="it succeeds")
    assert result_of(toy_service, job, "index", run=2)["state"] == "succeeded"


@pytest.mark.usefixtures("toy_service")
def test_a_queue_that_nobody_knows_is_told_with_those_that_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "core.cli", "worker", "indxing"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no queue indxing: there are encoding, transcripting, indexing, xapi, callbacks" in done.stderr


@pytest.mark.long
def test_a_host_that_lacks_the_plugin_leaves_the_message_to_one_that_has_it(
    toy_service: Settings, install_plugin: InstallPlugin, start: Start, ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step on a queue that others serve too meets workers that have never heard of it."""
    install_plugin("grader", TOY_STEP.replace('"index"', '"grade"').replace('"indexing"', '"encoding"'))
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy,grader")
    settings = toy_service.model_copy(update={"plugins_only": ("toy", "grader")})
    worker = start("encoding", "callbacks", threads=2, plugins_only="toy")
    job = jobs.submit("a.mp4", steps=["encode", "grade"], settings=settings, host=Host(settings, Manager(settings)))
    until(lambda: "this host can't serve it" in worker.log.read_text(), what="it is put back")
    start("encoding")
    assert ended(job, within=60).state is State.SUCCEEDED
