"""What comes next for a job, from what its folder holds: steps that miss nothing, beside each other if need be."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.model import Job, Plan, Source, State, StepResult, StepSpec, now
from core.pipeline import graph, lifecycle
from core.pipeline.task import StepTask
from core.storage import commit
from core.storage.job_folder import JobFolder
from core.storage.job_state import FINISH

OWN = (
    StepSpec(name="slides", queue="slides", needs=("encode",)),
    StepSpec(name="gate", queue="gate", needs=("encode",)),
)


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    steps = ("encode", "transcribe", "slides", "gate", "emit")
    job = Job(id="j1", sources=(Source(path=tmp_path / "a.mp4"),), steps=steps, declared=OWN)
    return lifecycle.submit(job, tmp_path / "root")[0]


def ended(folder: JobFolder, step: str, state: State = State.SUCCEEDED) -> None:
    assert state in (State.SUCCEEDED, State.FAILED)
    about = {"job": folder.id, "step": step, "run": 1, "attempt": 1, "state": state, "host": "h"}
    commit.commit(folder, StepResult.model_validate(about | {"started_at": now(), "finished_at": now()}))


def planned(folder: JobFolder, *, keeps_time: bool) -> None:
    folder.plan("encode").parent.mkdir(exist_ok=True)
    folder.plan("encode").write_text(Plan(engines=(), options={}, origins={}, keeps_time=keeps_time).to_json())


def test_what_needs_the_film_waits_for_it_and_emit_for_all(folder: JobFolder) -> None:
    assert graph.next_steps(folder) == ("encode",)
    ended(folder, "encode")
    assert graph.next_steps(folder) == ("transcribe", "slides", "gate")
    for step in ("slides", "gate", "transcribe"):
        ended(folder, step)
    assert graph.next_steps(folder) == ("emit",)
    ended(folder, "emit")
    assert graph.next_steps(folder) == (FINISH,)


@pytest.mark.parametrize("keeps_time", [False, True])
def test_the_transcription_begins_beside_an_encode_that_keeps_the_source_s_time(
    folder: JobFolder, keeps_time: bool
) -> None:
    planned(folder, keeps_time=keeps_time)
    assert graph.next_steps(folder) == (("encode", "transcribe") if keeps_time else ("encode",))


def test_a_failed_step_keeps_those_from_being_done_that_need_it_alone(folder: JobFolder) -> None:
    planned(folder, keeps_time=True)
    ended(folder, "encode", State.FAILED)
    assert graph.next_steps(folder) == ("transcribe",)
    ended(folder, "transcribe")
    assert graph.next_steps(folder) == (FINISH,)


def test_after_a_step_only_what_has_waited_for_it_is_sent(folder: JobFolder) -> None:
    planned(folder, keeps_time=True)
    folder.beside("encode").touch()
    ended(folder, "encode")
    assert graph.next_tasks(folder, after="encode") == [StepTask("slides"), StepTask("gate")]
    ended(folder, "slides")
    assert graph.next_tasks(folder, after="slides") == []
    assert graph.next_tasks(folder) == [StepTask("transcribe"), StepTask("gate")]


def test_what_was_to_be_told_and_was_not_is_told_in_the_end(folder: JobFolder) -> None:
    planned(folder, keeps_time=True)
    ended(folder, "encode")
    assert StepTask("transcribe") in graph.next_tasks(folder, after="encode")
