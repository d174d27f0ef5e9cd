from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from core import manifest, pipeline, runner, storage
from core.context import Progress
from core.errors import BadSource, Cancelled, HookFailed, LimitExceeded, StepCrashed
from core.model import Job, Source
from core.pipeline import Host
from core.runner import StepRequest

Request = Callable[..., StepRequest]


@pytest.fixture
def request_for(toy_host: Host, tmp_path: Path) -> Request:
    """Return a request to do one thing in a child."""

    def make(**do: Any) -> StepRequest:
        job = Job(
            id="j1", sources=(Source(path=tmp_path / "a.mp4"),), steps=("encode",), options={"do": do, "write": "x"}
        )
        folder, _ = pipeline.submit(job, tmp_path / "root")
        scratch = storage.begin_attempt(folder, "encode", after=0)
        return StepRequest(
            parent=os.getpid(),
            settings=toy_host.settings,
            root=folder.root,
            job=job.id,
            step="encode",
            attempt=1,
            scratch=scratch.path,
            published=folder.out / "encode.1",
            plan=pipeline.fix_plan(toy_host, folder, "encode"),
            manifest=manifest.fold(folder),
        )

    return make


def is_gone(pid: int, within: float = 3.0) -> bool:
    """Tell whether a process ends within some seconds; a zombie has ended."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def child_pid(tmp_path: Path, within: float = 10.0) -> int:
    """Wait until the toy engine's `sleep` has begun, and return its process."""
    end = time.monotonic() + within
    file = tmp_path / "tmp" / "child-j1"
    while time.monotonic() < end:
        if file.exists() and (text := file.read_text()):
            return int(text)
        time.sleep(0.02)
    raise AssertionError("the child did not begin")


def test_a_step_answers_with_measured_artifacts(request_for: Request) -> None:
    answer = runner.run(request_for(write="hello"))

    assert answer.engine.plugin == "toy"
    assert answer.output
    assert [(artifact.path, artifact.size) for artifact in answer.output.artifacts] == [("360p.mp4", 5)]


def test_a_step_runs_in_a_process_and_a_session_of_its_own(request_for: Request) -> None:
    answer = runner.run(request_for(write="hello"))

    assert answer.output
    assert answer.output.facts["pid"] != os.getpid()


def test_progress_comes_out_and_never_goes_back(request_for: Request) -> None:
    seen: list[Progress] = []

    runner.run(request_for(sleep=1.0, write="x"), on_progress=seen.append)

    assert len(seen) >= 3
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert seen[-1].total == 1.0


def test_what_a_library_prints_is_no_answer(request_for: Request) -> None:
    answer = runner.run(request_for(print_noise='{"answer": "forged"}', write="x"))

    assert answer.output
    assert answer.output.artifacts


def test_log_lines_of_the_child_are_the_parents(request_for: Request) -> None:
    with structlog.testing.capture_logs() as lines:
        runner.run(request_for(log="the sky", write="x"))

    assert {"event": "the sky", "shade": "green", "job": "j1", "step": "encode", "log_level": "warning"} in [
        {key: line.get(key) for key in ("event", "shade", "job", "step", "log_level")} for line in lines
    ]


def test_a_refusal_of_the_engine_arrives_as_what_it_is(request_for: Request) -> None:
    with pytest.raises(BadSource, match=r"a\.mp4: no picture") as caught:
        runner.run(request_for(refuse="no picture"))
    assert caught.value.plugin == "toy"


def test_a_plugins_own_exception_names_the_plugin(request_for: Request) -> None:
    with pytest.raises(HookFailed, match="plugin toy failed in encode: ValueError: bang"):
        runner.run(request_for(blow_up="bang"))


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGABRT"])
def test_a_child_that_is_killed_is_a_crash_that_names_the_signal(request_for: Request, name: str) -> None:
    with pytest.raises(StepCrashed, match=f"encode was killed by {name}"):
        runner.run(request_for(kill=name))


def test_a_crash_tells_the_last_words_on_standard_error(request_for: Request) -> None:
    with pytest.raises(StepCrashed, match="double free on stderr"):
        runner.run(request_for(print_noise="double free", kill="SIGABRT"))


def test_the_child_ignores_a_polite_signal_to_its_group(request_for: Request) -> None:
    answer = runner.run(request_for(kill="SIGTERM", write="x"))

    assert answer.output
    assert answer.output.artifacts


def test_a_step_that_takes_too_long_is_ended(request_for: Request, tmp_path: Path) -> None:
    request = request_for(sleep=60)
    hasty = request.model_copy(update={"settings": request.settings.model_copy(update={"step_time_limit": 1.5})})

    with pytest.raises(LimitExceeded, match="longer than 2 s"):
        runner.run(hasty)
    assert is_gone(child_pid(tmp_path))


def test_a_cancel_ends_the_child_at_once(request_for: Request, tmp_path: Path) -> None:
    def watch() -> None:
        if (tmp_path / "tmp" / "child-j1").exists():
            raise Cancelled

    began = time.monotonic()
    with pytest.raises(Cancelled):
        runner.run(request_for(sleep=60), watch=watch)

    assert is_gone(child_pid(tmp_path))
    assert time.monotonic() - began < 10


def test_a_child_over_its_memory_limit_fails_alone(request_for: Request) -> None:
    request = request_for(fill_disk=3_000_000_000)
    small = request.model_copy(update={"settings": request.settings.model_copy(update={"step_memory_limit": 2**31})})

    with pytest.raises(HookFailed, match="MemoryError"):
        runner.run(small)


def test_the_environment_of_the_child_holds_no_secrets(request_for: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    monkeypatch.setenv("AMPHIPOD_TOY_COLOUR", "green")
    monkeypatch.setenv("AMPHIPOD_BROKER_URL", "redis://:secret@redis")

    environment = runner.child_environment()

    assert "DATABASE_PASSWORD" not in environment
    assert "AMPHIPOD_BROKER_URL" not in environment
    assert environment["AMPHIPOD_TOY_COLOUR"] == "green"


@pytest.mark.parametrize("name", [signal.SIGKILL, signal.SIGTERM])
def test_no_orphan_is_left_when_the_parent_dies(
    name: signal.Signals, request_for: Request, tmp_path: Path, toy_host: Host
) -> None:
    request = request_for(sleep=60)
    code = (
        "import os, sys; from core import runner\n"
        "request = runner.StepRequest.model_validate_json(sys.argv[1])\n"
        "runner.run(request.model_copy(update={'parent': os.getpid()}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, request.model_dump_json()])
    child = child_pid(tmp_path)
    parent.send_signal(name)
    parent.wait()

    assert is_gone(child)


def test_a_child_of_another_parent_refuses_to_work(request_for: Request) -> None:
    stranger = request_for(write="x").model_copy(update={"parent": 1})

    with pytest.raises(StepCrashed, match="no answer"):
        runner.run(stranger)
