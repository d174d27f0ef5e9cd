"""A step in parts, in-process: each by itself, the whole once, and what goes wrong in one part stays there."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.context import Progress
from core.errors import Transient
from core.model import Division, Job, Part, Source, State, StepResult, Work
from core.pipeline import attempt, graph, in_process, lifecycle, parts
from core.pipeline.planning import Host
from core.pipeline.task import JoinTask, PartTask, StepTask
from core.plugin_host.manager import Manager
from core.settings import Settings
from core.storage import job_state
from core.storage.job_folder import JobFolder

from ...conftest import TOY_ENGINE, InstallPlugin
from ...parts_engine import PARTS_ENGINE

Submit = Callable[..., JobFolder]


@pytest.fixture
def host(settings: Settings, install_plugin: InstallPlugin) -> Host:
    install_plugin("letters", PARTS_ENGINE)
    only = settings.model_copy(update={"plugins_only": ("letters",), "threads": 1})
    return Host(only, Manager(only))


@pytest.fixture
def submit(tmp_path: Path) -> Submit:
    """Store a job; by part, what its engine is to do there."""

    def store(*, into: str = "abc", **do: Any) -> JobFolder:
        job = Job(id="j1", sources=(Source(path=Path("a.mp4")),), steps=("encode",), options={"into": into, "do": do})
        return lifecycle.submit(job, tmp_path / "root")[0]

    return store


def told(what: str) -> list[str]:
    """Return what the engine has noted under this word."""
    file = Path(os.environ["TMPDIR"], what)
    return file.read_text().split() if file.exists() else []


def attempts(folder: JobFolder) -> dict[str, int]:
    division = parts.division(folder, "encode")
    assert division
    return {name: result.attempt for name, result in parts.results(folder, "encode", division).items()}


def film(folder: JobFolder) -> str:
    made = job_state.fold(folder).steps["encode"]
    assert made.folder
    return (folder.path / made.folder / made.artifacts[0].path).read_text()


class TestDividedStep:
    def test_its_parts_are_joined_in_order(self, host: Host, submit: Submit) -> None:
        folder = submit(into="abcde", a={"sleep": 0.5})

        whole = in_process.run_embedded(host, folder, jobs=2)

        assert whole.state is State.SUCCEEDED
        assert film(folder) == "abcde"
        assert attempts(folder) == dict.fromkeys("abcde", 1)

    def test_of_the_parts_records_stay_and_files_go(self, host: Host, submit: Submit) -> None:
        folder = submit()

        in_process.run_embedded(host, folder, jobs=2)

        assert sorted(path.name for path in folder.out.iterdir()) == ["encode.1"]
        assert sorted(path.name for path in folder.steps.glob("encode.*.1.json")) == [
            f"encode.{name}.1.json" for name in "abc"
        ]
        assert list(folder.scratch.iterdir()) == []

    def test_observers_learn_once_that_the_job_begins(self, host: Host, submit: Submit) -> None:
        in_process.run_embedded(host, submit(), jobs=2)

        assert told("started") == ["j1"]

    def test_with_one_job_at_a_time_it_is_done_whole(self, host: Host, submit: Submit) -> None:
        folder = submit()

        in_process.run_embedded(host, folder)

        assert film(folder) == "whole"
        assert told("started") == ["j1"]

    def test_without_parts_it_is_done_whole(self, host: Host, submit: Submit) -> None:
        folder = submit(into="")

        in_process.run_embedded(host, folder, jobs=2)

        assert film(folder) == "whole"
        assert told("started") == ["j1"]

    def test_an_engine_that_cannot_divide_does_it_whole(
        self, settings: Settings, install_plugin: InstallPlugin, submit: Submit
    ) -> None:
        install_plugin("toy", TOY_ENGINE)
        only = settings.model_copy(update={"plugins_only": ("toy",)})
        folder = submit()

        whole = in_process.run_embedded(Host(only, Manager(only)), folder, jobs=2)

        assert whole.state is State.SUCCEEDED
        assert parts.division(folder, "encode") == Division()

    def test_the_first_division_stands(self, host: Host, submit: Submit) -> None:
        folder = submit()

        first = attempt.divide(host, folder, "encode")

        assert attempt.divide(host, folder, "encode") == first
        assert told("divided") == ["j1"]
        assert parts.fix(folder, "encode", Division()) == first


class TestFaults:
    def test_a_crash_costs_one_part(self, host: Host, submit: Submit) -> None:
        folder = submit(b={"kill_once": "SIGSEGV"})

        assert in_process.run_embedded(host, folder, jobs=2).state is State.SUCCEEDED
        assert attempts(folder) == {"a": 1, "b": 2, "c": 1}
        assert sorted(told("begun")) == ["a", "b", "b", "c"]

    def test_a_part_that_always_crashes_fails_the_step_with_its_name(self, host: Host, submit: Submit) -> None:
        folder = submit(b={"kill": "SIGSEGV"})

        whole = in_process.run_embedded(host, folder, jobs=2)

        reason = "part b: gave up after 3 attempts: the process of encode was killed by SIGSEGV"
        assert (whole.state, whole.reason) == (State.FAILED, f"encode: {reason}")

    def test_a_part_that_fails_stops_the_others(self, host: Host, submit: Submit) -> None:
        folder = submit(into="abcd", a={"sleep": 60}, b={"refuse": "no picture"})
        begun = time.monotonic()

        whole = in_process.run_embedded(host, folder, jobs=2)

        assert whole.reason == "encode: part b: no picture"
        assert time.monotonic() - begun < 10
        assert list(folder.scratch.iterdir()) == []

    def test_a_retry_keeps_the_parts_that_succeeded(self, host: Host, submit: Submit) -> None:
        folder = submit(b={"refuse": "no picture"})
        in_process.run_embedded(host, folder, jobs=2)
        done = sorted(name for name, result in results(folder).items() if result.state is State.SUCCEEDED)

        lifecycle.retry(folder)

        assert sorted(task.part for task in graph.next_tasks(folder)) == sorted(set("abc") - set(done))

    def test_an_interrupt_ends_all_parts_at_once(self, host: Host, submit: Submit) -> None:
        folder = submit(a={"sleep": 60}, b={"sleep": 60})
        threading.Timer(2, os.kill, (os.getpid(), signal.SIGINT)).start()
        begun = time.monotonic()

        with pytest.raises(KeyboardInterrupt):
            in_process.run_embedded(host, folder, jobs=2)

        assert time.monotonic() - begun < 6
        assert list(folder.scratch.iterdir()) == []
        assert "c" not in told("begun")


def results(folder: JobFolder) -> dict[str, StepResult]:
    division = parts.division(folder, "encode")
    assert division
    return parts.results(folder, "encode", division)


class TestErrands:
    def test_they_are_the_parts_that_are_missing_then_the_join_then_the_end(self, host: Host, submit: Submit) -> None:
        folder = submit()
        assert graph.next_tasks(folder) == [StepTask("encode")]
        division = attempt.divide(host, folder, "encode")
        assert isinstance(division, Division)
        assert graph.next_tasks(folder) == [PartTask("encode", name) for name in "abc"]

        for part in division.parts:
            attempt.run_part(host, folder, "encode", part)
            assert job_state.fold(folder).steps["encode"].state is State.RUNNING
        assert graph.next_tasks(folder) == [JoinTask("encode")]

        joined = attempt.run_join(host, folder, "encode", division)
        assert graph.next_tasks(folder) == [StepTask(job_state.FINISH)]
        assert attempt.run_join(host, folder, "encode", division) == joined

    def test_a_join_that_cannot_see_a_part_yet_is_tried_again(self, host: Host, submit: Submit) -> None:
        folder = submit()
        division = attempt.divide(host, folder, "encode")
        assert isinstance(division, Division)
        attempt.run_step(host, folder, "encode", Work(verb="part", part=division.parts[0]))

        with pytest.raises(Transient, match="part b of encode is not there yet"):
            attempt.run_join(host, folder, "encode", division)


class TestSum:
    @pytest.fixture
    def seen(self) -> list[Progress]:
        return []

    @pytest.fixture
    def reporters(self, seen: list[Progress]) -> Sequence[Callable[[Progress], None]]:
        division = Division(parts=(Part(name="a", weight=30), Part(name="b", weight=10)))
        whole = parts.Sum(division, seen.append)
        return [whole.reporter(part) for part in division.parts]

    def test_parts_count_by_their_weight(
        self, seen: list[Progress], reporters: Sequence[Callable[[Progress], None]]
    ) -> None:
        reporters[0](Progress(50, 100, 5))
        reporters[1](Progress(1, 1, 1))

        assert seen == [Progress(15, 40, 1.5), Progress(25, 40, 1.5)]

    def test_a_part_that_begins_again_does_not_set_the_whole_back(
        self, seen: list[Progress], reporters: Sequence[Callable[[Progress], None]]
    ) -> None:
        for report, done in ((0, 90), (1, 20), (0, 0), (0, 10), (1, 100)):
            reporters[report](Progress(done, 100, 1))

        assert [progress.done for progress in seen] == [27, 29, 29, 29, 29]
