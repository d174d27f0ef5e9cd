"""One lecture shared by several workers, with the faults that a part meets."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from core import jobs
from core.context import Progress
from core.jobs import Status
from core.model import Division, Part, State
from core.queue import status
from core.settings import Settings
from core.testing import make_clip

from ..conftest import InstallPlugin
from ..parts_engine import PARTS_ENGINE
from .conftest import RedisServer, Start, is_alive, leases, leftovers, result_of, until

Submit = Callable[..., str]
Ended = Callable[..., Status]


@pytest.fixture
def toy_service(service: Settings, install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As the conftest's, with the engine whose parts are letters."""
    install_plugin("letters", PARTS_ENGINE)
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "letters")
    return service.model_copy(update={"plugins_only": ("letters",)})


@pytest.fixture
def submit(toy_service: Settings) -> Submit:
    """Submit a job in parts; by part, what its engine is to do there."""

    def send(*, into: str = "abc", output: Path | None = None, **do: Any) -> str:
        return jobs.submit("a.mp4", output=output, options={"into": into, "do": do}, settings=toy_service)

    return send


def child_of(part: str, attempt: int = 1) -> int:
    """Wait until a part sleeps, and return its process."""
    file = Path(os.environ["TMPDIR"]) / f"child-encode.{part}.{attempt}"
    return int(until(lambda: file.exists() and file.read_text(), 20, f"part {part} begins"))


def begun() -> list[str]:
    """Return the parts that were begun, of all jobs, in order."""
    file = Path(os.environ["TMPDIR"]) / "begun"
    return file.read_text().split() if file.exists() else []


def attempts(settings: Settings, job: str, into: str = "abc") -> dict[str, int]:
    return {part: result_of(settings, job, f"encode.{part}")["attempt"] for part in into}


class TestSharing:
    def test_every_worker_gets_parts_and_the_film_is_whole(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings, tmp_path: Path
    ) -> None:
        hosts = [start("encoding", run_dir=f"run-{number}") for number in range(2)]
        start("callbacks")
        output = tmp_path / "media" / "0042"

        job = submit(into="abcd", output=output, **{part: {"sleep": 1.5} for part in "abcd"})

        assert ended(job).state is State.SUCCEEDED
        assert (output / "film.mp4").read_text() == "abcd"
        assert attempts(toy_service, job, "abcd") == dict.fromkeys("abcd", 1)
        assert leftovers(toy_service, job) == []
        workers = {result_of(toy_service, job, f"encode.{part}")["facts"]["worker"] for part in "abcd"}
        assert workers == {pid for host in hosts for pid in host.pids}

    @pytest.mark.long
    def test_progress_is_that_of_all_parts_and_never_goes_back(
        self, start: Start, submit: Submit, toy_service: Settings
    ) -> None:
        for number in range(2):
            start("encoding", run_dir=f"run-{number}")
        start("callbacks")
        job = submit(into="ab", a={"sleep": 4}, b={"sleep": 4})

        told = [status.steps["encode"].progress for status in jobs.watch(job, settings=toy_service)]
        seen = [progress for progress in told if progress]

        assert {progress.total for progress in seen} == {4.0}
        done = [progress.done for progress in seen]
        assert done == sorted(done)
        assert len(set(done)) >= 2
        assert max(done) > 2.0, "more than one part's"


class TestTurns:
    def test_a_short_job_does_not_wait_for_all_parts_of_a_lecture(
        self, start: Start, submit: Submit, ended: Ended
    ) -> None:
        for number in range(2):
            start("encoding", run_dir=f"run-{number}")
        start("callbacks")
        letters = "abcdefghijklmnopqrst"
        submit(into=letters, **{part: {"sleep": 0.7} for part in letters})
        until(lambda: "b" in begun(), 20, "two parts are worked on")
        short = submit(into="z")
        before = len(begun())

        assert ended(short).state is State.SUCCEEDED

        # Others go on while it is divided.
        assert begun().index("z") <= before + 6, "its turn comes when those that were begun are done"

    @pytest.mark.long
    def test_a_setting_says_how_much_of_the_service_one_job_takes(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AMPHIPOD_JOB_SLOTS", "1")
        for number in range(2):
            start("encoding", run_dir=f"run-{number}")
        start("callbacks")
        job = submit(into="abc", **{part: {"sleep": 1.0} for part in "abc"})
        ended(job)

        times = [result_of(toy_service, job, f"encode.{part}") for part in "abc"]
        assert all(one["finished_at"] <= other["started_at"] for one, other in pairwise(times))


class TestFaults:
    def test_a_killed_worker_costs_its_part_alone(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings, redis_server: RedisServer
    ) -> None:
        start("callbacks")
        doomed = start("encoding", run_dir="run-1")
        job = submit(a={"sleep_once": 60})
        child = child_of("a")
        start("encoding", run_dir="run-2")

        doomed.signal(signal.SIGKILL)

        until(lambda: not is_alive(child), 2, "no orphan is left")
        assert ended(job).state is State.SUCCEEDED
        assert attempts(toy_service, job) == {"a": 2, "b": 1, "c": 1}
        assert leftovers(toy_service, job) == []
        until(lambda: leases(redis_server) == [], 2, "no lease is left")

    def test_a_part_that_fails_fails_the_job_and_stops_the_others(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings
    ) -> None:
        for number in range(2):
            start("encoding", run_dir=f"run-{number}")
        start("callbacks")
        job = submit(a={"sleep": 60}, b={"refuse": "no picture"})
        child = child_of("a")

        status = ended(job)

        assert (status.state, status.reason) == (State.FAILED, "encode: part b: no picture")
        until(lambda: not is_alive(child) and leftovers(toy_service, job) == [], 5, "the other part ends")

    def test_a_cancel_ends_all_parts(self, start: Start, submit: Submit, ended: Ended, toy_service: Settings) -> None:
        for number in range(2):
            start("encoding", run_dir=f"run-{number}")
        start("callbacks")
        job = submit(a={"sleep": 60}, b={"sleep": 60})
        children = [child_of("a"), child_of("b")]

        jobs.cancel(job, settings=toy_service)

        until(lambda: not any(map(is_alive, children)) and leftovers(toy_service, job) == [], 3, "all parts end")
        assert ended(job).state is State.CANCELLED

    @pytest.mark.long  # tests/service/test_worker.py has the like of a whole step
    def test_a_stopped_worker_hands_its_part_back(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings
    ) -> None:
        first = start("encoding", run_dir="run-1")
        start("callbacks")
        job = submit(a={"sleep": 3})
        child_of("a")

        assert first.stop() == 0

        start("encoding", run_dir="run-2")
        assert ended(job).state is State.SUCCEEDED
        assert attempts(toy_service, job) == {"a": 1, "b": 1, "c": 1}

    @pytest.mark.long
    def test_without_redis_data_resume_sends_the_parts_that_are_missing(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings, redis_server: RedisServer
    ) -> None:
        worker = start("encoding")
        job = submit(b={"sleep_once": 60})
        child_of("b")
        redis_server.kill(data=False)
        worker.signal(signal.SIGKILL)
        worker.process.wait()
        redis_server.start()

        assert jobs.resume(settings=toy_service) == [job]

        start("encoding", "callbacks", threads=2)
        assert ended(job).state is State.SUCCEEDED
        assert attempts(toy_service, job) == {"a": 1, "b": 2, "c": 1}

    def test_a_retry_does_the_failed_part_alone(
        self, start: Start, submit: Submit, ended: Ended, toy_service: Settings
    ) -> None:
        start("encoding", "callbacks", threads=2)
        job = submit(c={"refuse_once": "no picture"})
        assert ended(job).state is State.FAILED

        jobs.retry(job, settings=toy_service)

        until(lambda: jobs.status(job, settings=toy_service).state is State.SUCCEEDED, 20, "it succeeds")
        assert result_of(toy_service, job, "encode.c", run=2)["state"] == "succeeded"
        steps = toy_service.jobs_root / "jobs" / job / "steps"
        assert sorted(path.name for path in steps.glob("encode.[ab].*.json")) == ["encode.a.1.json", "encode.b.1.json"]


class TestLive:
    """What `status` reads, whatever the order in which workers write."""

    @pytest.fixture
    def division(self) -> Division:
        return Division(parts=(Part(name="a", weight=30), Part(name="b", weight=10)))

    def test_it_never_goes_back_and_is_told_once_a_second(self, redis_server: RedisServer, division: Division) -> None:
        def report(part: Part, done: float) -> dict[str, Any]:
            # A reporter of its own each time, as after a crash on another host.
            tell = status.part_reporter(redis_server.client, "j1", "encode", division, part, "host")
            tell(Progress(done, 100, 2))
            progress: dict[str, Any] = status.read(redis_server.client, "j1")["progress"]["encode"]
            return progress

        a, b = division.parts
        assert report(a, 50) == {"done": 15, "total": 40, "speed": pytest.approx(0.6), "host": "host"}
        assert report(b, 50)["done"] == 15  # not a second later
        time.sleep(1.1)
        assert report(a, 0)["done"] == 15
        time.sleep(1.1)
        assert report(b, 100)["done"] == 15
        time.sleep(1.1)
        assert report(a, 90)["done"] == 37


class TestFilm:
    """The built-in encoder's parts, for real."""

    @pytest.fixture
    def lecture(self, service: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "encode")
        make_clip(service.media_roots[0] / "lecture.mp4", seconds=9, width=640, height=360)
        return "lecture.mp4"

    @pytest.mark.long
    def test_a_worker_killed_in_mid_part_costs_that_part_and_the_film_is_complete(
        self, start: Start, service: Settings, lecture: str
    ) -> None:
        start("callbacks")
        doomed = start("encoding", run_dir="run-1")
        options = {"part_seconds": 3, "preset": "veryslow"}
        job = jobs.submit(lecture, options=options, settings=service)
        folder = service.jobs_root / "jobs" / job
        scratch = folder / "scratch" / "encode.p001.1" / "output"
        until(lambda: any(scratch.glob("*.packets")), 30, "its second part begins")

        doomed.signal(signal.SIGKILL)

        start("encoding", run_dir="run-2")
        until(lambda: jobs.status(job, settings=service).state.is_final, 60, "the job ends")
        assert jobs.status(job, settings=service).state is State.SUCCEEDED
        names = ("p000", "p001", "p002", "sound")
        assert [result_of(service, job, f"encode.{name}")["attempt"] for name in names] == [1, 2, 1, 1]
        whole = result_of(service, job)
        film = next(artifact for artifact in whole["artifacts"] if artifact["path"] == "360p.mp4")
        assert (film["frames"], round(film["duration"])) == (225, 9)
        assert json.loads((folder / whole["folder"] / "info_video.json").read_text())["duration"] == 9
        assert [path.name for path in (folder / "out").iterdir()] == ["encode.1"]
