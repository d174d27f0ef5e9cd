"""A host that does not see the shared folder takes nothing, says so, and goes on when it does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core import doctor, jobs
from core import settings as settings_module
from core.errors import HostUnfit, OutOfReach
from core.jobs import Status
from core.model import Job, Source
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.queue import workers
from core.redis import shared_root
from core.settings import Settings
from core.worker import mounts

from .conftest import RedisServer, Start, Submit, result_of, until

Ended = Callable[..., Status]


def test_an_unmounted_host_takes_nothing_and_another_does_all(
    start: Start,
    submit: Submit,
    ended: Ended,
    toy_service: Settings,
    redis_server: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit(write="x", key="first")
    empty = tmp_path / "not mounted"
    empty.mkdir()
    unfit = start("encoding", "callbacks", threads=2, run_dir="run-1", jobs_root=str(empty))
    until(lambda: "no job is taken on this host" in unfit.log.read_text(), what="it says so")
    names = [submit(write="x") for _ in range(3)]

    found = until(lambda: list(workers.alive(redis_server.client)), what="it registers")
    assert found[0]["fault"] == f"{empty}: not the folder of this service, service-id is missing in it"
    assert redis_server.client.llen("amphipod:encoding") == 4

    start("encoding", "callbacks", threads=2, run_dir="run-2")
    for name in names:
        assert ended(name).state == "succeeded"
        assert result_of(toy_service, name)["attempt"] == 1
    assert list(empty.iterdir()) == []

    monkeypatch.setenv("AMPHIPOD_JOBS_ROOT", str(empty))
    loaded = settings_module.load()
    findings = {one.subject: one for one in doctor.examine(Host(loaded, Manager(loaded)))}
    assert not findings[f"jobs root {empty} of the service"].ok


def test_it_goes_on_when_the_folder_is_back(
    start: Start, submit: Submit, ended: Ended, toy_service: Settings, tmp_path: Path
) -> None:
    job = submit(write="x")
    away = tmp_path / "away"
    toy_service.jobs_root.rename(away)
    toy_service.jobs_root.mkdir()
    worker = start("encoding", "callbacks", threads=2)
    until(lambda: "no job is taken on this host" in worker.log.read_text(), what="it says so")

    shutil.rmtree(toy_service.jobs_root)
    away.rename(toy_service.jobs_root)

    assert ended(job).state == "succeeded"
    assert "jobs are taken again on this host" in worker.log.read_text()


def test_a_folder_that_goes_away_while_a_job_runs_costs_no_try(
    start: Start, submit: Submit, ended: Ended, toy_service: Settings, tmp_path: Path
) -> None:
    worker = start("callbacks", threads=2, step_retries="0")
    start("encoding")
    job = submit(write="x", sleep=2)
    until(lambda: "child" in str(list((tmp_path / "tmp").iterdir())), what="it runs")
    away = tmp_path / "away"
    (toy_service.jobs_root / shared_root.MARKER).rename(away)
    until(lambda: "no job is taken on this host" in worker.log.read_text(), what="it is noticed")

    away.rename(toy_service.jobs_root / shared_root.MARKER)

    assert ended(job).state == "succeeded"


def test_a_portal_with_another_folder_is_refused(submit: Submit, toy_service: Settings, tmp_path: Path) -> None:
    submit(write="x")
    elsewhere = toy_service.model_copy(update={"jobs_root": tmp_path / "elsewhere"})

    with pytest.raises(OutOfReach, match=r"not the folder of this service.*`amphipod resume --adopt`"):
        jobs.submit("a.mp4", settings=elsewhere)


def test_a_folder_that_was_moved_on_purpose_is_adopted(submit: Submit, toy_service: Settings, tmp_path: Path) -> None:
    submit(write="x")
    moved = toy_service.model_copy(update={"jobs_root": tmp_path / "moved"})

    jobs.resume(settings=moved, adopt=True)

    assert jobs.submit("a.mp4", settings=moved)


def test_a_redis_that_has_lost_its_data_learns_the_folder_again(
    submit: Submit, toy_service: Settings, redis_server: RedisServer
) -> None:
    submit(write="x")
    redis_server.client.flushall()

    submit(write="x")

    assert shared_root.examine(redis_server.client, toy_service.jobs_root) == ""


class TestMediaRoots:
    def job(self, tmp_path: Path, **fields: Path) -> Job:
        return Job(id="x", sources=(Source(path=tmp_path / "media" / "a.mp4"),), steps=("encode",), **fields)

    def settings(self, tmp_path: Path) -> Settings:
        return Settings(media_roots=(tmp_path / "media",))

    def test_an_empty_one_is_this_hosts_fault(self, tmp_path: Path) -> None:
        (tmp_path / "media").mkdir()

        with pytest.raises(HostUnfit, match="is empty or missing on this host: mount it"):
            mounts.check(self.job(tmp_path), self.settings(tmp_path))

    def test_a_source_that_is_missing_among_others_is_the_jobs(self, tmp_path: Path) -> None:
        (tmp_path / "media").mkdir()
        (tmp_path / "media" / "b.mp4").touch()

        mounts.check(self.job(tmp_path), self.settings(tmp_path))

    def test_nothing_is_published_beside_one_that_is_not_mounted(self, tmp_path: Path) -> None:
        with pytest.raises(HostUnfit, match="is missing on this host"):
            mounts.check_output(self.job(tmp_path, output=tmp_path / "media" / "0042"), self.settings(tmp_path))
