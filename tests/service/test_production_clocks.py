"""Faults with the clocks that production has; minutes, so `make test-long` runs them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from core.jobs import Status
from core.model import State
from core.settings import Settings

from .conftest import HASTY, RedisServer, Start, Submit, child_of, leases, leftovers, result_of, until

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def _production(monkeypatch: pytest.MonkeyPatch, toy_service: Settings) -> None:
    for name in HASTY:
        monkeypatch.delenv(f"AMPHIPOD_{name}")


def test_the_job_of_a_killed_worker_runs_again_within_a_minute(
    start: Start,
    submit: Submit,
    ended: Callable[..., Status],
    toy_service: Settings,
    redis_server: RedisServer,
    record_property: Callable[[str, object], None],
) -> None:
    first = start("encoding", run_dir="run-1")
    start("callbacks")
    job = submit(sleep=10, write="x")
    child_of(job)
    start("encoding", run_dir="run-2")
    scratch = toy_service.jobs_root / "jobs" / job / "scratch"

    killed = time.monotonic()
    first.signal(signal.SIGKILL)
    until((scratch / "encode.2" / "work" / "started").exists, 60, "the job runs again")
    again = time.monotonic() - killed
    record_property("runs again after, s", round(again, 1))  # `make test-long ARGS=--junit-xml=...` tells it

    assert ended(job, 60).state is State.SUCCEEDED
    assert result_of(toy_service, job)["attempt"] == 2
    assert leftovers(toy_service, job) == []
    until(lambda: leases(redis_server) == [], 2, "no lease is left")


def test_heartbeats_survive_a_gate_that_stays_closed_for_minutes(
    start: Start, submit: Submit, ended: Callable[..., Status], toy_service: Settings
) -> None:
    start("encoding", processes=2, threads=8)
    start("callbacks")
    long, short = submit(sleep=200, write="x"), submit(write="x")

    assert ended(long, 240).state is State.SUCCEEDED
    assert ended(short, 60).state is State.SUCCEEDED
    assert result_of(toy_service, long)["attempt"] == 1
    assert result_of(toy_service, short)["attempt"] == 1
