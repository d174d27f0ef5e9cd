"""The step `emit` of a job: into the outbox where there is a queue, straight to the store where there is none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core import jobs
from core.jobs import Status
from core.model import Job, Manifest, Source, State
from core.pipeline import in_process, lifecycle
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.queue import monitor
from core.redis import connection
from core.settings import Settings, load

from ..conftest import TOY_ENGINE, InstallPlugin
from ..lrs import LOGIN, PASSWORD, RecordStoreServer
from .conftest import Start, until

Ended = Callable[..., Status]


@pytest.fixture(scope="module")
def prepared_lrs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordStoreServer]:
    server = RecordStoreServer(tmp_path_factory.mktemp("lrs"))
    server.prepare()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def lrs(
    prepared_lrs: RecordStoreServer, install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch
) -> RecordStoreServer:
    """An empty store, and a host that tells it of what it publishes."""
    prepared_lrs.empty()
    install_plugin("toy", TOY_ENGINE)
    for name, value in {
        "AMPHIPOD_PLUGINS_ONLY": "toy,xapi",
        "AMPHIPOD_ENGINES": '{"encode": ["toy"]}',
        "AMPHIPOD_XAPI_PIPELINE_STATEMENTS": "true",
        "AMPHIPOD_XAPI_ACTIVITY_URL": "https://pod.univ-demo.fr/video/{id}/",
        "XAPI_LRS_URL": prepared_lrs.url,
        "XAPI_LRS_LOGIN": LOGIN,
        "XAPI_LRS_PWD": PASSWORD,
    }.items():
        monkeypatch.setenv(name, value)
    return prepared_lrs


def embedded(tmp_path: Path, **fields: Any) -> Manifest:
    settings = load(jobs_root=tmp_path / "root")
    request = {"id": "j1", "sources": (Source(path=Path("algebra.mp4")),), "steps": ("encode", "emit")}
    folder, _ = lifecycle.submit(Job(**(request | fields)), settings.jobs_root)
    return in_process.run_embedded(Host(settings, Manager(settings)), folder)


def test_without_a_queue_the_store_has_it_when_the_job_ends(lrs: RecordStoreServer, tmp_path: Path) -> None:
    whole = embedded(tmp_path, attributes={"id": 42, "title": "Algebra, lesson 1"}, language="en")

    assert whole.state is State.SUCCEEDED, whole.reason
    assert whole.steps["emit"].notes == ("1 statements delivered to lrs",)
    (stored,) = lrs.stored()
    assert stored["verb"]["id"] == "http://activitystrea.ms/schema/1.0/share"
    assert stored["object"]["id"] == "https://pod.univ-demo.fr/video/42/"
    assert stored["object"]["definition"]["name"] == {"en": "Algebra, lesson 1"}
    assert stored["context"]["extensions"] == {"https://w3id.org/xapi/video/extensions/length": 1.0}


def test_it_says_nothing_unless_it_is_told_to(
    lrs: RecordStoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AMPHIPOD_XAPI_PIPELINE_STATEMENTS")
    assert embedded(tmp_path).state is State.SUCCEEDED
    assert lrs.stored() == []


def test_without_a_store_it_says_so(lrs: RecordStoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XAPI_LRS_URL")
    assert embedded(tmp_path).steps["emit"].notes == ("no record store is set: nothing was sent",)


def test_a_store_that_is_away_fails_the_step_with_its_reason(
    lrs: RecordStoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XAPI_LRS_URL", "http://127.0.0.1:9/xAPI/statements")
    whole = embedded(tmp_path)
    assert whole.state is State.FAILED
    assert "can't be reached (Connection refused)" in str(whole.reason)


def test_by_queue_it_waits_in_the_outbox_and_an_attempt_that_is_repeated_says_nothing_twice(
    service: Settings, lrs: RecordStoreServer, start: Start, tmp_path: Path
) -> None:
    start("encoding", "callbacks", threads=2)
    job = jobs.submit("a.mp4", steps=("encode", "emit"), options={"do": {"write": "x"}}, settings=load())
    start("xapi", threads=8)
    folder = tmp_path / "root" / "jobs" / job
    until((folder / "manifest.json").exists, 30, "the job ends")
    until(lambda: lrs.count() == 1, what="its statement is stored")
    assert json.loads((folder / "manifest.json").read_text())["steps"]["emit"]["notes"] == ["1 statements wait for lrs"]

    with connection.opened(load()) as client:  # what still has a message is not put back
        until(lambda: not monitor.queued_jobs(client), what="its last message is taken off")

    (folder / "steps" / "emit.1.json").unlink()
    (folder / "steps" / "finish.1.json").unlink()
    (folder / "manifest.json").unlink()
    jobs.resume(settings=load())

    until((folder / "manifest.json").exists, 30, "the job ends again")
    until(lambda: _sent(load()) == 2, what="the statement is sent again")
    assert lrs.count() == 1


def _sent(settings: Settings) -> int:
    from core.redis import connection
    from core.statements import submit

    with connection.opened(settings) as client:
        return int(submit.outbox(client, "lrs", settings).report()["sent"])
