"""What comes next for a job: a function of the files in its folder, whoever asks, and however often."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from core.model import ALL, Job, Plan, State, Step, StepSpec
from core.pipeline import parts
from core.pipeline.task import CallbackTask, JoinTask, PartTask, StepTask, Task
from core.storage import deliveries, job_state
from core.storage.job_folder import JobFolder
from core.storage.job_state import FINISH


def next_steps(folder: JobFolder) -> tuple[Step | str, ...]:
    """Return the steps that can be done now, `FINISH` alone when only that is left, none when the job is over.

    A step that failed keeps those from being done that need it; others go on.
    """
    run = folder.run()
    if job_state.result(folder, FINISH, run):
        return ()
    if job_state.is_cancelled(folder):
        return (FINISH,)
    job = folder.job()
    results = {step: job_state.result(folder, step, run) for step in job.steps}
    done = {step for step, found in results.items() if found and found.state is State.SUCCEEDED}
    ready = (step for step, found in results.items() if found is None and _is_ready(folder, job, step, done))
    return tuple(ready) or (FINISH,)


def next_step(folder: JobFolder) -> Step | str | None:
    """Return the first of the steps that can be done now, None when the job is over."""
    return next(iter(next_steps(folder)), None)


def _is_ready(folder: JobFolder, job: Job, step: Step, done: Collection[str]) -> bool:
    spec = job.spec(step)
    return all(
        need in done or (need in spec.beside and _keeps_time(folder, need)) for need in needs(spec, job) if need != step
    )


def needs(spec: StepSpec, job: Job) -> tuple[Step, ...]:
    """Return the job's steps that one of them needs; of those that need all, the one before."""
    if ALL not in spec.needs:
        return tuple(step for step in job.steps if step in spec.needs)
    return tuple(
        step
        for number, step in enumerate(job.steps)
        if ALL not in job.spec(step).needs or number < job.steps.index(spec.name)
    )


def _keeps_time(folder: JobFolder, step: str) -> bool:
    """Tell whether a step is planned so that others may run beside it."""
    try:
        return Plan.model_validate_json(folder.plan(step).read_bytes()).keeps_time
    except FileNotFoundError:
        return False


def next_tasks(folder: JobFolder, after: str | None = None) -> list[Task]:
    """Return all that can be worked on now; of a job that is over, what is still to be told.

    With `after`, only that step and what waits for it: the others' messages are on their way already.
    """
    steps = next_steps(folder)
    if not steps:
        return [CallbackTask(delivery) for delivery in deliveries.due(folder)]
    if after is not None:
        job = folder.job()
        steps = tuple(step for step in steps if step in (FINISH, after) or _waits_for(folder, job, step, after))
    return [task for step in steps for task in _tasks(folder, step)]


def _waits_for(folder: JobFolder, job: Job, step: Step, other: str) -> bool:
    """Tell whether a step that is ready now has waited for another; not one that was begun beside it."""
    spec = job.spec(step)
    return other in needs(spec, job) and not (other in spec.beside and folder.beside(other).exists())


def _tasks(folder: JobFolder, step: str) -> Sequence[Task]:
    divided = parts.division(folder, step)
    if not (divided and divided.parts):
        return [StepTask(step)]
    missing = parts.missing(folder, step, divided)
    return [PartTask(step, part.name) for part in missing] or [JoinTask(step)]
