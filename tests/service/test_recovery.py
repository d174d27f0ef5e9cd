"""Jobs that Redis has lost come back by themselves, and by `resume` in a moment, however many they are."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from core import jobs
from core.jobs import Status
from core.jobs.recovery import Recheck
from core.model import Job, Source
from core.pipeline import lifecycle
from core.settings import Settings

from .conftest import RedisServer, Start, Submit


def test_a_lost_job_is_found_and_done_without_a_person(
    start: Start, submit: Submit, ended: Callable[..., Status], redis_server: RedisServer
) -> None:
    start("encoding", "callbacks", threads=2, recheck_seconds="1")
    done = submit(write="x")
    ended(done)
    redis_server.client.config_set("min-replicas-to-write", "0")
    lost = submit(sleep=0.1, write="x", key="lost")
    redis_server.client.delete("amphipod:encoding", "amphipod:encoding.msgs")

    assert ended(lost, 40).state == "succeeded"


def test_one_look_in_a_period_by_whoever_comes_first(
    submit: Submit, redis_server: RedisServer, toy_service: Settings
) -> None:
    settings = toy_service.model_copy(update={"lease_seconds": 0.01})
    job = submit(write="x")
    redis_server.client.flushall()
    time.sleep(0.1)

    assert Recheck(redis_server.client, settings).once() == [job]
    redis_server.client.delete("amphipod:encoding.msgs")
    assert Recheck(redis_server.client, settings).once() == []


def test_a_job_that_is_just_being_stored_is_left_alone(
    submit: Submit, redis_server: RedisServer, toy_service: Settings
) -> None:
    submit(write="x")
    redis_server.client.flushall()

    assert Recheck(redis_server.client, toy_service).once() == []


def test_what_waits_is_not_sent_twice(submit: Submit, redis_server: RedisServer, toy_service: Settings) -> None:
    submit(write="x")
    time.sleep(0.1)

    assert Recheck(redis_server.client, toy_service.model_copy(update={"lease_seconds": 0.01})).once() == []


@pytest.mark.long
def test_twenty_thousand_come_back_within_twenty_seconds(toy_service: Settings, redis_server: RedisServer) -> None:
    for number in range(20_000):
        job = Job(id=f"job-{number}", sources=(Source(path=toy_service.media_roots[0] / "a.mp4"),), steps=("encode",))
        lifecycle.submit(job, toy_service.jobs_root)

    began = time.process_time()  # a busy test host is no fault of ours
    resumed = jobs.resume(settings=toy_service)

    assert len(resumed) == redis_server.client.llen("amphipod:encoding") == 20_000
    assert time.process_time() - began < 20
