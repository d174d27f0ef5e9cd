from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core import doctor, jobs
from core import settings as settings_module
from core.findings import Finding
from core.jobs import Status
from core.model import State
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.queue import monitor, workers
from core.redis import connection
from core.settings import Settings

from .conftest import RedisServer, Start, Submit, child_of, until

Ended = Callable[..., Status]


class TestOverview:
    def test_waiting_jobs_are_counted_by_queue(self, submit: Submit, redis_server: RedisServer) -> None:
        for priority in ("high", "normal", "normal"):
            submit(priority=priority, write="x")

        table = monitor.overview(redis_server.client)["queues"]

        assert table["encoding"] == {"waiting": 2, "delayed": 0, "dead": 0}
        assert table["encoding.high"]["waiting"] == 1

    def test_counting_reads_no_bodies(self, submit: Submit, redis_server: RedisServer) -> None:
        """With 50 000 messages waiting, what crosses the wire stays as small as with none."""
        client = redis_server.client
        with client.pipeline() as pipe:
            for number in range(50_000):
                pipe.rpush("amphipod:encoding", f"id-{number}")
                pipe.hset("amphipod:encoding.msgs", f"id-{number}", "x" * 400)
            pipe.execute()
        before = client.info("stats")["total_net_output_bytes"]

        assert monitor.overview(client)["queues"]["encoding"]["waiting"] == 50_000

        assert client.info("stats")["total_net_output_bytes"] - before < 20_000

    def test_what_runs_is_told_with_its_host_and_progress(
        self, start: Start, submit: Submit, redis_server: RedisServer
    ) -> None:
        start("encoding")
        job = submit(sleep=30)

        def running() -> dict[str, object] | None:
            found: list[dict[str, object]] = monitor.overview(redis_server.client)["running"]
            return found[0] if found and found[0]["progress"] else None

        one = until(running, what="progress is told")
        assert (one["job"], one["step"]) == (job, "encode")
        assert 0 < one["progress"]["done"] < 30

    def test_what_failed_is_told_with_its_reason(
        self, start: Start, submit: Submit, ended: Ended, redis_server: RedisServer
    ) -> None:
        start("encoding", "callbacks", threads=2)
        job = submit(refuse="blank")
        ended(job)

        (failed,) = until(lambda: monitor.overview(redis_server.client)["failed"], what="the failure is listed")
        assert (failed["id"], failed["reason"]) == (job, "encode: a.mp4: blank")


class TestOneEntryAJob:
    def test_a_job_whose_worker_died_does_not_run(
        self, start: Start, submit: Submit, redis_server: RedisServer, toy_service: Settings
    ) -> None:
        worker = start("encoding")
        job = submit(sleep=30)
        child_of(job)
        until(lambda: monitor.overview(redis_server.client)["running"], what="it runs")
        assert jobs.status(job, settings=toy_service).state is State.RUNNING

        worker.signal(signal.SIGKILL)

        def is_waiting() -> bool:
            return jobs.status(job, settings=toy_service).state is State.WAITING

        until(is_waiting, 5, "its lease ends")
        assert monitor.overview(redis_server.client)["running"] == []
        step = jobs.status(job, settings=toy_service).steps["encode"]
        assert (step.state, step.progress) == (State.WAITING, None)

    def test_what_is_delayed_is_told_with_reason_and_next_try(
        self, start: Start, submit: Submit, ended: Ended, redis_server: RedisServer, tmp_path: Path
    ) -> None:
        start("encoding", "callbacks", threads=2, retry_seconds="20")
        (tmp_path / "media" / "file").touch()
        job = submit(output=tmp_path / "media" / "file" / "0042", write="x")

        (one,) = until(lambda: monitor.overview(redis_server.client)["delayed"], what="it is delayed")

        assert (one["job"], one["step"], one["tries"], one["queue"]) == (job, "encode", 1, "encoding")
        assert "is not a folder" in one["reason"]
        assert 0 < (datetime.fromisoformat(one["next_try"]) - datetime.now(UTC)).total_seconds() < 25

    def test_a_job_that_failed_and_then_succeeded_is_no_failure(
        self,
        start: Start,
        submit: Submit,
        ended: Ended,
        redis_server: RedisServer,
        toy_service: Settings,
        tmp_path: Path,
    ) -> None:
        start("encoding", "callbacks", threads=2, step_retries="0")
        (tmp_path / "media" / "file").touch()
        job = submit(output=tmp_path / "media" / "file" / "0042", write="x")
        ended(job)
        until(lambda: monitor.overview(redis_server.client)["failed"], what="the failure is listed")
        (tmp_path / "media" / "file").unlink()

        jobs.retry(job, settings=toy_service)
        assert monitor.overview(redis_server.client)["failed"] == []
        until(lambda: jobs.status(job, settings=toy_service).state is State.SUCCEEDED, what="it succeeds")

        assert monitor.overview(redis_server.client)["failed"] == []

    def test_many_messages_of_a_job_are_one_entry(self, toy_service: Settings, redis_server: RedisServer) -> None:
        client, about = redis_server.client, {"queues": ["encoding"], "version": "1", "beacon": ""}
        for host, names in (("enc-1", ["p1", "p2"]), ("enc-2", ["p3", "p4"])):
            working = [{"job": "j1", "step": "encode", "since": "2026", "part": part} for part in names]
            workers.beat(client, {**about, "id": f"{host}.1", "host": host, "jobs": working})
        for part in ("p1", "p2", "p3"):
            client.set(f"amphipod:lease:j1.encode.{part}", "somebody")

        (one,) = monitor.overview(client)["running"]

        assert (one["job"], one["hosts"], one["parts"]) == ("j1", ["enc-1", "enc-2"], ["p1", "p2", "p3"])


class TestNoWorker:
    def test_a_waiting_job_says_which_queue_nobody_reads(
        self,
        start: Start,
        submit: Submit,
        ended: Ended,
        toy_service: Settings,
        redis_server: RedisServer,
        tmp_path: Path,
    ) -> None:
        job = submit(write="x")
        elsewhere = toy_service.model_copy(update={"jobs_root": tmp_path / "another host's disk"})
        for settings in (toy_service, elsewhere):
            assert jobs.status(job, settings=settings).unserved == "encoding"
        assert monitor.overview(redis_server.client)["unserved"] == [{"queue": "encoding", "messages": 1}]

        start("encoding")
        until(lambda: jobs.status(job, settings=toy_service).unserved == "callbacks", what="the encode is done")
        start("callbacks")

        assert ended(job).unserved is None

    def test_a_message_that_a_dead_worker_had_waits_too(self, submit: Submit, redis_server: RedisServer) -> None:
        submit(write="x")
        redis_server.client.lpop("amphipod:encoding")

        assert monitor.overview(redis_server.client)["unserved"] == [{"queue": "encoding", "messages": 1}]

    def test_whoever_waits_is_told_once_which_worker_to_start(
        self, start: Start, submit: Submit, toy_service: Settings
    ) -> None:
        job = submit(write="x")
        command = [sys.executable, "-m", "core.cli", "wait", job]
        waiting = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert waiting.stderr
        line = waiting.stderr.readline()
        start("encoding", "callbacks", threads=2)

        _, rest = waiting.communicate(timeout=30)

        assert line == "it waits, and no worker of `encoding` is running: start one with `amphipod worker encoding`\n"
        assert waiting.returncode == 0
        assert "no worker" not in rest


class TestProgress:
    @pytest.mark.long
    def test_it_is_written_at_most_once_a_second(
        self, start: Start, submit: Submit, redis_server: RedisServer, ended: Ended
    ) -> None:
        start("encoding", "callbacks", threads=2)
        with redis_server.client.monitor() as commands:  # type: ignore[no-untyped-call]
            job = submit(sleep=4, write="x")
            ended(job)
            redis_server.client.echo("the end")
            writes = 0
            for command in commands.listen():
                writes += "progress.encode" in command["command"]
                if "the end" in command["command"]:
                    break
        assert 2 <= writes <= 6

    def test_a_host_that_sees_only_redis_can_follow_a_job(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings, tmp_path: Path
    ) -> None:
        elsewhere = toy_service.model_copy(update={"jobs_root": tmp_path / "another host's disk"})
        start("encoding", "callbacks", threads=2)
        job = submit(sleep=3, write="x")
        child_of(job)

        seen = list(jobs.watch(job, settings=elsewhere))

        assert any(one.steps["encode"].progress for one in seen if "encode" in one.steps)
        assert seen[-1].state is State.SUCCEEDED


class TestWorkers:
    def test_each_process_says_who_it_is(self, start: Start, redis_server: RedisServer, toy_service: Settings) -> None:
        worker = start("encoding", processes=2, threads=3)

        found = until(lambda: len(all_ := list(workers.alive(redis_server.client))) == 2 and all_, what="both register")

        assert {one["pid"] for one in found} == set(worker.pids)
        assert {(tuple(one["queues"]), one["threads"]) for one in found} == {(("encoding",), 3)}

    @pytest.mark.long
    def test_one_that_could_not_write_its_beacon_at_boot_leaves_it_once_it_can(
        self, start: Start, redis_server: RedisServer, toy_service: Settings
    ) -> None:
        toy_service.jobs_root.touch()
        start("callbacks")
        (before,) = until(lambda: list(workers.alive(redis_server.client)), what="it registers all the same")

        toy_service.jobs_root.unlink()

        def left() -> bool:
            (worker,) = workers.alive(redis_server.client)
            seen = workers.read_beacon(toy_service.jobs_root, worker["host"])
            return seen is not None and bool(worker["beacon"] == seen)

        assert before["beacon"] is None
        until(left, what="it leaves its beacon")

    def test_one_that_stops_is_struck_off(self, start: Start, redis_server: RedisServer, toy_service: Settings) -> None:
        worker = start("callbacks")
        until(lambda: list(workers.alive(redis_server.client)), what="it registers")

        worker.stop()

        assert list(workers.alive(redis_server.client)) == []


class TestDoctor:
    def examine(self) -> dict[str, Finding]:
        loaded = settings_module.load()
        return {finding.subject: finding for finding in doctor.examine(Host(loaded, Manager(loaded)))}

    def test_a_healthy_service(self, start: Start, toy_service: Settings, redis_server: RedisServer) -> None:
        start("encoding")
        until(lambda: list(workers.alive(redis_server.client)), what="the worker registers")

        findings = self.examine()

        assert all(finding.ok is not False for finding in findings.values()), findings
        assert findings[f"Redis 127.0.0.1:{redis_server.port}/0 persistence"].words == "append-only file"
        (worker,) = [finding for subject, finding in findings.items() if subject.startswith("worker ")]
        assert "shares" in worker.words

    def test_a_queue_that_nobody_reads(self, submit: Submit, toy_service: Settings) -> None:
        submit(write="x")

        finding = self.examine()["queue encoding"]

        assert not finding.ok
        assert (
            finding.words == "messages waiting: 1, and no worker is running: start one with `amphipod worker encoding`"
        )

    def test_a_redis_that_keeps_nothing(self, toy_service: Settings, redis_server: RedisServer) -> None:
        redis_server.client.config_set("appendonly", "no")

        finding = self.examine()[f"Redis 127.0.0.1:{redis_server.port}/0 persistence"]

        assert not finding.ok
        assert finding.words == "none: set `appendonly yes`"

    def test_a_dead_redis(self, toy_service: Settings, redis_server: RedisServer) -> None:
        redis_server.kill()

        finding = self.examine()[f"Redis 127.0.0.1:{redis_server.port}/0"]

        assert not finding.ok
        assert "does not answer" in finding.words
        redis_server.start()

    def test_a_folder_that_is_not_really_shared(
        self,
        start: Start,
        toy_service: Settings,
        redis_server: RedisServer,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        start("encoding")
        until(lambda: list(workers.alive(redis_server.client)), what="the worker registers")
        monkeypatch.setenv("AMPHIPOD_JOBS_ROOT", str(tmp_path / "another disk"))

        (worker,) = [finding for subject, finding in self.examine().items() if subject.startswith("worker ")]

        assert not worker.ok
        assert "mount the same folder on both" in worker.words

    def test_a_worker_of_another_version(self, toy_service: Settings, redis_server: RedisServer) -> None:
        about = {"id": "old.1", "host": "old", "queues": ["xapi"], "version": "0.0.1", "beacon": "", "jobs": []}
        workers.beat(redis_server.client, about)

        finding = self.examine()["worker old.1 (xapi)"]

        assert not finding.ok
        assert finding.words.startswith("has amphipod 0.0.1, this host ")

    def test_a_password_is_never_shown(self, toy_service: Settings) -> None:
        secret = toy_service.model_copy(update={"broker_url": "redis://:hunter2@redis.example:6379/5"})

        assert connection.redacted(secret) == "redis.example:6379/5"
        assert "hunter2" not in json.dumps(connection.redacted(secret))
