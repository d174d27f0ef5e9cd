"""Jobs through `dramatiq core.actors`, with the faults that a service meets."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from core import jobs
from core.errors import JobConflict, OutOfReach
from core.jobs import Status
from core.model import State
from core.pipeline import lifecycle
from core.queue import names as queue_names
from core.settings import Settings

from .conftest import (
    RedisServer,
    Start,
    Submit,
    child_of,
    is_alive,
    leases,
    leftovers,
    result_of,
    until,
)

Ended = Callable[..., Status]


def test_a_job_is_done_and_published(start: Start, submit: Submit, ended: Ended, tmp_path: Path) -> None:
    start("encoding", "callbacks", threads=2)

    job = submit(output=tmp_path / "media" / "0042", write="hello")

    assert ended(job).state is State.SUCCEEDED
    assert (tmp_path / "media" / "0042" / "360p.mp4").read_text() == "hello"


def test_one_service_a_queue_and_each_does_its_part(start: Start, submit: Submit, ended: Ended) -> None:
    start("encoding")
    start("callbacks", threads=8)

    assert ended(submit(write="hello")).state is State.SUCCEEDED


class TestKilledWorker:
    def test_the_job_runs_again_elsewhere_and_is_published_once(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings, redis_server: RedisServer
    ) -> None:
        first = start("encoding", run_dir="run-1")
        start("callbacks")
        job = submit(sleep=4, write="hello")
        child = child_of(job)
        second = start("encoding", run_dir="run-2")

        first.signal(signal.SIGKILL)

        until(lambda: not is_alive(child), 2, "no orphan is left")
        assert ended(job).state is State.SUCCEEDED
        assert result_of(toy_service, job)["attempt"] == 2
        assert leftovers(toy_service, job) == []
        until(lambda: leases(redis_server) == [], 2, "no lease is left")
        assert second.process.poll() is None

    @pytest.mark.long
    def test_a_source_that_kills_its_worker_each_time_fails_with_a_reason(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings
    ) -> None:
        start("callbacks")
        job = submit(sleep=60)
        for attempt in range(toy_service.step_attempts):
            worker = start("encoding", run_dir=f"run-{attempt}")
            child_of(job)
            (Path(os.environ["TMPDIR"]) / f"child-{job}").unlink()
            worker.signal(signal.SIGKILL)
            worker.process.wait()

        start("encoding")

        status = ended(job)
        assert status.state is State.FAILED
        assert status.reason == (
            "encode: gave up after 3 attempts: its process died without a word (killed, or the machine went down)"
        )

    def test_a_source_that_kills_its_child_each_time_fails_with_the_signal(
        self, start: Start, submit: Submit, ended: Ended
    ) -> None:
        start("encoding", "callbacks", threads=2)

        status = ended(submit(kill="SIGSEGV"))

        assert status.reason == "encode: gave up after 3 attempts: the process of encode was killed by SIGSEGV"


@pytest.mark.long
class TestFrozenWorker:
    def test_both_finish_their_work_and_one_commits(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings, redis_server: RedisServer
    ) -> None:
        frozen = start("encoding", run_dir="run-1")
        start("callbacks")
        job = submit(sleep=5, write="hello")
        first_child = child_of(job)
        (Path(os.environ["TMPDIR"]) / f"child-{job}").unlink()
        start("encoding", run_dir="run-2")

        frozen.signal(signal.SIGSTOP)
        second_child = child_of(job)
        until(lambda: not is_alive(first_child) or _has_written(toy_service, job, 1), 10, "the frozen one's child ends")
        frozen.signal(signal.SIGCONT)

        assert second_child != first_child
        assert ended(job).state is State.SUCCEEDED
        until(lambda: leftovers(toy_service, job) == [], 10, "the loser drops its output")
        out = toy_service.jobs_root / "jobs" / job / "out"
        assert len(list(out.iterdir())) == 1
        assert [path.name for path in (out.parent / "steps").glob("finish.*.json")] == ["finish.1.json"]
        until(lambda: not any(_counts(redis_server).values()), 10, "no message is left")


def _seconds(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def _has_written(settings: Settings, job: str, attempt: int) -> bool:
    return (settings.jobs_root / "jobs" / job / "scratch" / f"encode.{attempt}" / "output" / "360p.mp4").exists()


def _counts(server: RedisServer) -> dict[str, int]:
    names = [name + companion for name in queue_names.expand(queue_names.BUILT_IN) for companion in ("", ".DQ")]
    return {name: server.client.hlen(f"amphipod:{name}.msgs") for name in names}


class TestSlots:
    @pytest.mark.long
    def test_one_encode_a_host_and_no_host_idle_while_a_job_waits(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings
    ) -> None:
        hosts = [start("encoding", processes=2, threads=8, run_dir=run_dir) for run_dir in ("run-1", "run-2")]
        start("callbacks", threads=8)
        names = [submit(sleep=2, write="x") for _ in range(6)]
        for name in names:
            assert ended(name).state is State.SUCCEEDED

        results = [result_of(toy_service, name) for name in names]
        for host in hosts:
            mine = sorted(
                (one["started_at"], one["finished_at"]) for one in results if one["facts"]["worker"] in host.pids
            )
            pauses = [_seconds(end, begin) for (_, end), (begin, _) in itertools.pairwise(mine)]
            assert len(mine) == 3
            assert all(0 <= pause < 2 for pause in pauses), pauses

    @pytest.mark.long
    def test_heartbeats_survive_a_gate_that_stays_closed(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings
    ) -> None:
        """With a heartbeat of 2 s, 12 s behind a closed gate are what 150 s are in production."""
        start("encoding", processes=2, threads=8)
        start("callbacks")
        long, short = submit(sleep=12, write="x"), submit(write="x")

        assert ended(long).state is State.SUCCEEDED
        assert ended(short).state is State.SUCCEEDED
        assert result_of(toy_service, long)["attempt"] == 1
        assert result_of(toy_service, short)["attempt"] == 1

    def test_urgent_jobs_go_first(self, start: Start, submit: Submit, ended: Ended, toy_service: Settings) -> None:
        names = [submit(priority=priority, sleep=0.2, write="x") for priority in ("low", "normal", "high")]
        start("encoding")
        start("callbacks")

        for name in names:
            ended(name)
        started = [result_of(toy_service, name)["started_at"] for name in names]
        assert started == sorted(started, reverse=True)


class TestLiveLease:
    @pytest.mark.long
    def test_a_message_that_meets_one_is_put_back_and_runs_when_the_holder_dies(
        self, start: Start, submit: Submit, ended: Ended, redis_server: RedisServer, toy_service: Settings
    ) -> None:
        start("encoding")
        start("callbacks")
        redis_server.client.set(f"amphipod:lease:{lifecycle.id_for_key('held')}.encode", "somebody", px=8000)
        job = submit(key="held", write="x")

        until(lambda: redis_server.client.hlen("amphipod:encoding.DQ.msgs") == 1, what="the message is delayed")
        until(lambda: redis_server.client.hlen("amphipod:encoding.msgs") == 0, what="it is on no other list")
        assert jobs.status(job, settings=toy_service).state is State.RUNNING, "whoever holds the lease is at it"

        assert ended(job).state is State.SUCCEEDED

    def test_a_second_message_for_a_running_job_starts_no_second_run(
        self, start: Start, submit: Submit, ended: Ended, redis_server: RedisServer, toy_service: Settings
    ) -> None:
        from core.queue import broker

        start("encoding", run_dir="run-1")
        start("encoding", run_dir="run-2")
        start("callbacks")
        job = submit(sleep=5, write="x")
        child_of(job)
        broker.connect(toy_service).enqueue(queue_names.message("encode", job, "encoding"))

        assert ended(job).state is State.SUCCEEDED
        assert result_of(toy_service, job)["attempt"] == 1
        until(lambda: not any(_counts(redis_server).values()), 15, "the second message ends too")


class TestCancel:
    def test_a_waiting_job_is_cancelled_at_once(self, submit: Submit, toy_service: Settings) -> None:
        job = submit(write="x")

        jobs.cancel(job, settings=toy_service)

        assert jobs.status(job, settings=toy_service).state is State.CANCELLED

    def test_a_cancelled_job_that_a_worker_meets_later_is_not_run(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings, redis_server: RedisServer
    ) -> None:
        job = submit(write="x")
        jobs.cancel(job, settings=toy_service)
        start("encoding", "callbacks", threads=2)

        assert ended(job).state is State.CANCELLED
        until(lambda: not any(_counts(redis_server).values()), 10, "its messages end")
        assert not list((toy_service.jobs_root / "jobs" / job / "out").iterdir())

    def test_a_running_job_ends_within_two_seconds(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings
    ) -> None:
        start("encoding", "callbacks", threads=2)
        job = submit(sleep=60)
        child = child_of(job)

        began = time.monotonic()
        jobs.cancel(job, settings=toy_service)
        until(lambda: not is_alive(child) and leftovers(toy_service, job) == [], 5, "child and scratch are gone")

        assert time.monotonic() - began < 2
        assert ended(job).state is State.CANCELLED

    def test_a_finished_job_cannot_be_cancelled(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings
    ) -> None:
        start("encoding", "callbacks", threads=2)
        job = submit(write="x")
        ended(job)

        with pytest.raises(JobConflict, match="already succeeded"):
            jobs.cancel(job, settings=toy_service)


class TestRetry:
    def test_a_failed_job_is_run_again(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings, tmp_path: Path
    ) -> None:
        start("encoding", "callbacks", threads=2, step_retries="0")
        blocker = tmp_path / "media" / "file"
        blocker.touch()
        job = submit(output=blocker / "0042", write="x")
        assert ended(job).state is State.FAILED
        blocker.unlink()

        jobs.retry(job, settings=toy_service)

        until(lambda: jobs.status(job, settings=toy_service).state is State.SUCCEEDED, what="it succeeds")

    def test_a_passing_fault_is_waited_out(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings, tmp_path: Path
    ) -> None:
        start("encoding", "callbacks", threads=2)
        blocker = tmp_path / "media" / "file"
        blocker.touch()
        job = submit(output=blocker / "0042", write="x")
        until(lambda: "put back" in (tmp_path / "worker-0.log").read_text(), what="the fault is met")
        blocker.unlink()

        assert ended(job).state is State.SUCCEEDED


class TestIdempotency:
    def test_the_same_key_and_request_are_one_job(self, submit: Submit, toy_service: Settings) -> None:
        assert submit(key="video 42", write="x") == submit(key="video 42", write="x")
        assert len(list((toy_service.jobs_root / "jobs").iterdir())) == 1

    def test_a_different_request_under_the_same_key_is_refused(self, submit: Submit) -> None:
        submit(key="video 42", write="x")

        with pytest.raises(JobConflict, match="exists with a different request: use another idempotency key"):
            submit(key="video 42", write="y")

    def test_a_job_that_was_stored_but_never_sent_is_sent_by_the_next_call(
        self, start: Start, submit: Submit, ended: Ended, redis_server: RedisServer
    ) -> None:
        job = submit(key="video 42", write="x")
        redis_server.client.flushall()

        assert submit(key="video 42", write="x") == job
        start("encoding", "callbacks", threads=2)
        assert ended(job).state is State.SUCCEEDED

    def test_without_a_key_each_request_is_a_job(self, submit: Submit) -> None:
        assert submit(write="x") != submit(write="x")


class TestRedisRestarts:
    def test_with_its_data_every_job_ends(
        self, start: Start, submit: Submit, ended: Ended, redis_server: RedisServer, toy_service: Settings
    ) -> None:
        start("encoding", "callbacks", threads=2)
        running, waiting, doomed = submit(sleep=4, write="x"), submit(write="x"), submit(refuse="blank")
        child_of(running)

        redis_server.kill()
        time.sleep(5)  # the running step ends meanwhile
        redis_server.start()

        assert ended(running).state is State.SUCCEEDED
        assert ended(waiting).state is State.SUCCEEDED
        assert ended(doomed).state is State.FAILED
        assert result_of(toy_service, running)["attempt"] == 1

    @pytest.mark.long
    def test_without_its_data_resume_puts_the_jobs_back(
        self, start: Start, submit: Submit, ended: Ended, redis_server: RedisServer, toy_service: Settings
    ) -> None:
        worker = start("encoding", "callbacks", threads=2)
        done, running, waiting = submit(write="x"), submit(sleep=60), submit(write="x")
        doomed, cancelled = submit(refuse="blank"), submit(write="x")
        ended(done)
        child_of(running)
        jobs.cancel(cancelled, settings=toy_service)
        redis_server.kill(data=False)
        worker.signal(signal.SIGKILL)
        worker.process.wait()
        redis_server.start()

        resumed = jobs.resume(settings=toy_service)
        start("encoding", "callbacks", threads=2)
        child_of(running)
        jobs.cancel(running, settings=toy_service)

        assert sorted(resumed) == sorted([running, waiting, doomed, cancelled])
        assert ended(waiting).state is State.SUCCEEDED
        assert ended(doomed).state is State.FAILED
        assert ended(cancelled).state is State.CANCELLED
        assert ended(running).state is State.CANCELLED

    def test_resume_leaves_alone_what_has_a_message(self, submit: Submit, toy_service: Settings) -> None:
        submit(write="x")

        assert jobs.resume(settings=toy_service) == []

    def test_a_dead_redis_is_one_clear_error_and_stores_no_job(
        self, submit: Submit, redis_server: RedisServer, toy_service: Settings
    ) -> None:
        redis_server.kill()

        with pytest.raises(OutOfReach, match="does not answer"):
            submit(write="x")
        assert not (toy_service.jobs_root / "jobs").exists()
        redis_server.start()


class TestShutdown:
    def test_a_running_job_is_handed_back_and_done_by_another(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings
    ) -> None:
        first = start("encoding", run_dir="run-1")
        start("callbacks")
        job, waiting = submit(sleep=4, write="x"), submit(write="y")
        child = child_of(job)

        began = time.monotonic()
        code = first.stop()
        took = time.monotonic() - began

        assert code == 0
        assert took < 10
        assert not is_alive(child)
        assert leftovers(toy_service, job) == []
        start("encoding", run_dir="run-2")
        assert ended(job).state is State.SUCCEEDED
        assert ended(waiting).state is State.SUCCEEDED
        assert result_of(toy_service, job)["attempt"] == 1  # a job that was handed back has lost no attempt
