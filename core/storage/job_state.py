"""A job's manifest, folded from its files alone: request.json, steps/*.json, cancelled.json."""

from __future__ import annotations

import json

from core.model import Manifest, ManifestStep, State, StepResult
from core.storage import scratch_folder
from core.storage.job_folder import JobFolder

#: The step that publishes and closes a job; core's own, always last.
FINISH = "finish"


def result(folder: JobFolder, step: str, run: int) -> StepResult | None:
    """Return what was committed for `step`: in this run, or a success of an earlier one, which is never redone.

    A failure of an earlier run stands where the retries since were about another step.
    """
    for number in range(run, 0, -1):
        try:
            found = StepResult.model_validate_json(folder.result(step, number).read_bytes())
        except FileNotFoundError:
            continue
        if found.state is State.SUCCEEDED and step != FINISH:
            found = _corrected(folder, found)
        if number == run:
            return found
        if step != FINISH and (found.state is State.SUCCEEDED or _was_left_out(folder, step, range(number, run))):
            return found
    return None


def corrections(folder: JobFolder, step: str) -> int:
    """Return how often a person has corrected a step's files."""
    number = 0
    while folder.correction(step, number + 1).exists():
        number += 1
    return number


def _corrected(folder: JobFolder, made: StepResult) -> StepResult:
    """Return what stands in the place of a result, itself if nobody has corrected it."""
    if number := corrections(folder, made.step):
        found = StepResult.model_validate_json(folder.correction(made.step, number).read_bytes())
        if (found.run, found.attempt) == (made.run, made.attempt):
            return found
    return made


def retried_step(folder: JobFolder, run: int) -> str | None:
    """Return the only step that the retry of a run was about; None: all that had not succeeded."""
    step: str | None = json.loads(folder.retry(run).read_bytes()).get("step")
    return step


def _was_left_out(folder: JobFolder, step: str, runs: range) -> bool:
    about = (retried_step(folder, run) for run in runs)
    return all(one not in (None, step.partition(".")[0]) for one in about)


def last_attempt(folder: JobFolder, step: str) -> int:
    """Return the number of the last attempt at `step` that was committed, 0 if none was."""
    runs = range(1, folder.run() + 1)
    return max((found.attempt for run in runs if (found := result(folder, step, run))), default=0)


def is_cancelled(folder: JobFolder) -> bool:
    """Tell whether the current run was cancelled; `retry` starts one that wasn't."""
    try:
        return int(json.loads(folder.cancelled.read_bytes())["run"]) >= folder.run()
    except FileNotFoundError:
        return False


def _is_begun(folder: JobFolder, step: str) -> bool:
    """Tell whether somebody works on a step, or a part of it is done."""
    attempts = (scratch for scratch in scratch_folder.attempts(folder) if scratch.step.partition(".")[0] == step)
    return any(not scratch.failure.exists() for scratch in attempts) or any(folder.steps.glob(f"{step}.*.*.json"))


def told(result: StepResult) -> ManifestStep:
    """Return what a manifest says of a result."""
    return ManifestStep(
        state=result.state,
        reason=result.reason,
        notes=result.notes,
        engine=result.engine,
        facts=result.facts,
        folder=result.folder,
        artifacts=result.artifacts,
        corrected_at=result.corrected_at,
    )


def fold(folder: JobFolder) -> Manifest:
    """Tell from its files how a job stands.

    Raises:
        UnknownJob: there is no such job.
    """
    job = folder.job()
    run = folder.run()
    steps: dict[str, ManifestStep] = {}
    for step in job.steps:
        found = result(folder, step, run)
        if found:
            steps[step] = told(found)
        else:
            steps[step] = ManifestStep(state=State.RUNNING if _is_begun(folder, step) else State.WAITING)
    finished = result(folder, FINISH, run)
    state: State = State.WAITING
    if finished:
        state = finished.state
    elif is_cancelled(folder):
        state = State.CANCELLED
    elif scratch_folder.attempts(folder) or any(step.state is not State.WAITING for step in steps.values()):
        state = State.RUNNING
    return Manifest(
        job=job,
        state=state,
        run=run,
        reason=finished.reason if finished else None,
        steps=steps,
        published_in=job.output if finished and folder.publication.exists() else None,
    )
