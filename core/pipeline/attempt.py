"""One attempt at a step or a part of it: in a child process, its result committed."""

from __future__ import annotations

import os
import pkgutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from core.context import Progress
from core.errors import (
    AmphipodError,
    Cancelled,
    LimitExceeded,
    Permanent,
    StepCrashed,
)
from core.model import Division, Part, Plan, State, Step, StepResult, Work, now
from core.pipeline import download, parts, step_log
from core.pipeline.planning import Host, fix_plan, foresee
from core.pipeline.step_log import StepLog
from core.process import confinement, supervisor
from core.process.messages import StepAnswer, StepRequest
from core.storage import (
    commit,
    files,
    job_state,
    publish,
    scratch_folder,
)
from core.storage.job_folder import JobFolder
from core.storage.scratch_folder import Scratch

#: Seconds between two looks at the job's folder while a step runs: was it cancelled, are we still alive.
LOOK_EVERY = 0.5

#: A step that nobody divides.
WHOLE = Work()


def _hear_nothing(_progress: Progress) -> None: ...


def _do_nothing() -> None: ...


@dataclass(frozen=True)
class Observer:
    """Who follows an attempt, and may end it as if it had never begun: by raising in `watch` or `before_commit`."""

    on_progress: Callable[[Progress], None] = _hear_nothing
    #: Called several times a second.
    watch: Callable[[], None] = _do_nothing
    #: Called once the work is done.
    before_commit: Callable[[], None] = _do_nothing

    def telling(self, on_progress: Callable[[Progress], None]) -> Observer:
        """Return the same, with another to hear of progress."""
        return replace(self, on_progress=on_progress)


NOBODY = Observer()


_log = structlog.get_logger()


def run_step(
    host: Host,
    folder: JobFolder,
    step: Step,
    work: Work = WHOLE,
    observer: Observer = NOBODY,
) -> StepResult:
    """Make one attempt at a step or a part of it, and commit its result: a success, or a failure that no retry mends.

    Returns the result that stands, which may be another attempt's.

    Raises:
        Transient: this attempt failed, another may succeed.
        Cancelled: the job was cancelled while it ran.
    """
    name = parts.name(step, work.part)
    if standing := job_state.result(folder, name, folder.run()):
        return standing
    if not parts.division(folder, step):
        _begin(host, folder, step)
    try:
        scratch = _next_attempt(host, folder, name)
    except LimitExceeded as error:
        return fail(folder, name, str(error))
    log = StepLog(folder.job(), step, work.part, scratch.attempt)
    try:
        with _cleaned(scratch):
            started_at, run = now(), folder.run()
            answer = _attempt(host, folder, step, work, scratch, observer.telling(log.following(observer.on_progress)))
            if answer.output and answer.output.artifacts:
                commit.check(answer.output.artifacts, scratch.output)
            observer.before_commit()
            result = _success(folder, run, fix_plan(host, folder, step), answer, scratch, started_at)
            standing = commit.commit(folder, result, scratch)
    except Permanent as error:
        return fail(folder, name, str(error), error, attempt=scratch.attempt)
    except StepCrashed as error:
        attempts = scratch_folder.attempts(folder, name)
        if len(attempts) >= host.settings.step_attempts:
            return fail(folder, name, _gave_up(attempts), error)
        raise
    log.ended(result, standing)
    return standing


def divide(
    host: Host,
    folder: JobFolder,
    step: Step,
    observer: Observer = NOBODY,
) -> Division | StepResult:
    """Return how a step is divided, decided by the first host that gets here, or the failure that this met.

    Raises:
        Transient, Cancelled: as in `run_step`.
    """
    if found := parts.division(folder, step):
        return found
    _begin(host, folder, step)
    plan = fix_plan(host, folder, step)
    if not any(host.manager.can_divide(step, engine.plugin) for engine in plan.engines):
        return parts.fix(folder, step, Division())
    name = f"{step}.divide"
    try:
        scratch = _next_attempt(host, folder, name)
        step_log.examining(folder.job(), step)
        with _cleaned(scratch):
            answer = _attempt(host, folder, step, Work(verb="divide"), scratch, observer)
    except Permanent as error:
        return fail(folder, step, str(error), error)
    except StepCrashed as error:
        attempts = scratch_folder.attempts(folder, name)
        if len(attempts) >= host.settings.step_attempts:
            return fail(folder, step, _gave_up(attempts), error)
        raise
    division = parts.fix(folder, step, answer.division or Division())
    if division.parts:
        _log.info("divided", job=folder.id, step=step, parts=len(division.parts))
    return division


def _begin(host: Host, folder: JobFolder, step: Step) -> None:
    """Tell observers of a job's first attempt at its first step."""
    if (
        step == folder.job().steps[0]
        and not job_state.last_attempt(folder, step)
        and not scratch_folder.attempts(folder)
    ):
        host.manager.job_started(folder.job())


def _next_attempt(host: Host, folder: JobFolder, name: str) -> Scratch:
    """Make the folder of the next attempt.

    Raises:
        LimitExceeded: there were as many as the settings allow.
    """
    before = scratch_folder.attempts(folder, name)
    for scratch in before:
        if scratch_folder.is_abandoned(scratch):
            scratch_folder.empty(scratch, "its process died without a word (killed, or the machine went down)")
    if len(before) >= host.settings.step_attempts:
        raise LimitExceeded(_gave_up(before), job=folder.id, step=name)
    return scratch_folder.begin_attempt(folder, name, after=job_state.last_attempt(folder, name))


@contextmanager
def _cleaned(scratch: Scratch) -> Iterator[None]:
    """Delete the scratch folder in the end; after a crash it stays, empty but for the reason, so that it counts."""
    try:
        yield
    except StepCrashed as error:
        scratch_folder.empty(scratch, str(error))
        raise
    except BaseException:
        files.remove(scratch.path)
        raise
    files.remove(scratch.path)


def _attempt(
    host: Host,
    folder: JobFolder,
    step: Step,
    work: Work,
    scratch: Scratch,
    observer: Observer,
) -> StepAnswer:
    job = folder.job()
    spec, plan = job.spec(step), fix_plan(host, folder, step)
    if spec.inline:
        run = pkgutil.resolve_name(spec.inline)
        engine, output = run(host.manager, host.settings, job, plan, job_state.fold(folder))
        return StepAnswer(engine=engine, output=output)
    foresee(host, job, {step: plan})
    if job.output:
        publish.prepare_output(job.output, host.settings.media_roots)
    looked = 0.0

    def watch_all() -> None:
        nonlocal looked
        observer.watch()
        if time.monotonic() - looked >= LOOK_EVERY:
            looked = time.monotonic()
            if job_state.is_cancelled(folder) or (work.part and job_state.result(folder, step, folder.run())):
                raise Cancelled  # also of a part when another has failed
            scratch.owner.touch()

    download.fetch(job, host.settings, watch_all)
    access = host.manager.child_access(job, step, plan)
    request = StepRequest(
        parent=os.getpid(),
        settings=host.manager.settings_for_child({*host.manager.working(step, plan), *access.settings}),
        root=folder.root.resolve(),
        job=job.id,
        step=step,
        kept=spec.kept,
        work=work,
        attempt=scratch.attempt,
        scratch=scratch.path.resolve(),
        # Links are left as they are: a portal knows its own paths by their letters.
        published=(job.output or folder.out / scratch.path.name).absolute(),
        plan=plan,
        manifest=job_state.fold(folder),
        access=access,
    )
    if host.settings.confinement == "required":
        confinement.demand()
    return supervisor.run(request, on_progress=observer.on_progress, watch=watch_all)


def _success(
    folder: JobFolder, run: int, plan: Plan, answer: StepAnswer, scratch: Scratch, started_at: datetime
) -> StepResult:
    out = folder.out / scratch.path.name
    assert answer.output
    return StepResult(
        job=folder.id,
        step=scratch.step,
        run=run,
        attempt=scratch.attempt,
        state=State.SUCCEEDED,
        folder=str(out.relative_to(folder.path)) if answer.output.artifacts else None,
        artifacts=answer.output.artifacts,
        facts=answer.output.facts,
        notes=answer.output.notes,
        engine=answer.engine,
        options=plan.options,
        origins=plan.origins,
        options_digest=plan.digest,
        host=files.host_name(),
        started_at=started_at,
        finished_at=now(),
    )


def _gave_up(attempts: list[Scratch]) -> str:
    last = scratch_folder.failure_reason(attempts[-1]) or "another attempt is still running"
    return f"gave up after {len(attempts)} attempts: {last}"


def fail(
    folder: JobFolder, step: str, reason: str, error: BaseException | None = None, *, attempt: int | None = None
) -> StepResult:
    """Commit the failure of a step, unless something was committed meanwhile. Returns the result that stands.

    The log gets the reason, and the trace of `error`.
    """
    moment = now()
    attempts = scratch_folder.attempts(folder, step)
    ours = StepResult(
        job=folder.id,
        step=step,
        run=folder.run(),
        attempt=attempt or (attempts[-1].attempt if attempts else job_state.last_attempt(folder, step)),
        state=State.FAILED,
        reason=reason,
        remedy=(error.remedy if isinstance(error, AmphipodError) else "") or None,
        host=files.host_name(),
        started_at=moment,
        finished_at=moment,
    )
    standing = commit.commit(folder, ours)
    if standing is ours:
        step_log.failed(ours, error)
    return standing


def run_part(
    host: Host,
    folder: JobFolder,
    step: Step,
    part: Part,
    observer: Observer = NOBODY,
) -> StepResult:
    """As `run_step`, for a part of a divided step, which fails with it."""
    work = Work(verb="part", part=part)
    result = run_step(host, folder, step, work, observer)
    if result.state is State.FAILED:
        fail(folder, step, f"part {part.name}: {result.reason}")
    return result


def run_join(
    host: Host,
    folder: JobFolder,
    step: Step,
    division: Division,
    observer: Observer = NOBODY,
) -> StepResult:
    """Make the whole of a step out of its parts, which are then removed; their records stay.

    Raises:
        Transient: a part's record can't be seen from here yet; or as in `run_step`.
    """
    work = Work(verb="join", parts=parts.outputs(folder, step, division))
    result = run_step(host, folder, step, work, observer)
    if result.state is State.SUCCEEDED:
        parts.remove(folder, step, division)
    return result
