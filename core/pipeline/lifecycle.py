"""A job from request to publication: plain functions over its folder, the same by queue and in-process."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext, suppress
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

import structlog

from core.context import Progress
from core.errors import (
    AmphipodError,
    BadSettings,
    Cancelled,
    EngineMissing,
    JobConflict,
    LimitExceeded,
    Permanent,
    StepCrashed,
    Transient,
)
from core.model import Division, Job, Manifest, Part, Plan, State, Step, StepResult, Work, now
from core.pipeline import download, parts, step_log
from core.pipeline.step_log import StepLog
from core.plugin_host.manager import Manager
from core.process import supervisor
from core.process.supervisor import StepAnswer, StepRequest
from core.retention import holdings
from core.settings import Settings
from core.storage import claim, commit, conflicts, deliveries, files, inputs, manifest, order, permissions, story
from core.storage.commit import Lock, folder_lock
from core.storage.deliveries import DELIVER
from core.storage.files import JobFolder, Scratch
from core.storage.manifest import FINISH

#: Seconds without a sign of life after which an attempt of another host counts as dead.
ABANDONED_AFTER = 60.0

#: Seconds between two looks at the job's folder while a step runs: was it cancelled, are we still alive.
LOOK_EVERY = 0.5

#: What somebody who watches is told of a step that needs no process of its own.
_BEGINNINGS = {FINISH: "publishing", "emit": "delivering statements"}

#: A step that nobody divides.
WHOLE = Work()

_log = structlog.get_logger()


@dataclass(frozen=True)
class Host:
    """What this process works with."""

    settings: Settings
    manager: Manager


# From request to plan


def submit(job: Job, root: Path) -> tuple[JobFolder, bool]:
    """Store a job; the same request under the same id is the same job. Returns its folder, and whether it is new.

    Raises:
        JobConflict: this id is taken by a different request.
    """
    folder, new = files.store(job, root)
    holdings.hold(folder, list(inputs.of(job, ()).values()))
    if not new and not _same_request(stored := folder.job(), job):
        raise JobConflict(
            f"job {stored.id} exists with a different request", remedy="use another idempotency key", job=stored.id
        )
    if job.output:
        order.take(root, job.output, job.id)
    if new:
        tell(folder, "submitted", source=str(job.source.path), steps=",".join(job.steps), language=job.language)
    return folder, new


def tell(folder: JobFolder, event: str, **about: object) -> None:
    """Add to a job's story what its submitter does: in a portal's process, whose log is not ours to write."""
    line = {"timestamp": f"{now():%Y-%m-%dT%H:%M:%S.%fZ}", "level": "info", "event": event, "job": folder.id}
    with suppress(OSError):
        story.append(folder, {**line, "correlation_id": folder.job().correlation, **about})


def _same_request(one: Job, other: Job) -> bool:
    told_apart_by = {"created_at", "correlation_id"}  # of the call, not of what it asks for
    return one.model_dump(exclude=told_apart_by) == other.model_dump(exclude=told_apart_by)


def new_id() -> str:
    """Return a fresh id that sorts by time."""
    return f"{now():%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def id_for_key(key: str) -> str:
    """Return the id that an idempotency key stands for."""
    return f"key-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def check(host: Host, job: Job, *, elsewhere: bool = False) -> None:
    """Refuse now what could only fail later: an unknown option, a missing or ambiguous engine.

    `elsewhere` says that other hosts will do the job: what is not installed here is left to them.

    Raises:
        BadCall
        WouldReplace: its files would take the place of others that are not its own.
    """

    def is_known(step: Step) -> bool:
        present = host.manager.engines(step)
        return bool(present) and job.engines.get(step, present[0]) in present

    known = [step for step in job.steps if not elsewhere or is_known(step)]
    if len(known) == len(job.steps):
        host.manager.check_options(job)
    if not elsewhere and (problem := host.manager.unknown_options()):
        raise BadSettings(f"AMPHIPOD_OPTIONS: {problem}")
    plans = {step: host.manager.plan(job, step) for step in known}
    for step, plan in plans.items():
        with suppress(EngineMissing) if elsewhere else nullcontext():
            host.manager.check_step(job, step, plan)
    if not JobFolder(host.settings.jobs_root, job.id).request.exists():  # else it is the same request once more
        _foresee(host, job, plans)


def _foresee(host: Host, job: Job, plans: Mapping[Step, Plan]) -> None:
    """Refuse a job whose publish can be foretold to be refused."""
    names: conflicts.Names = {step: host.manager.file_names(job, step, plan) for step, plan in plans.items()}
    conflicts.foresee(host.settings.jobs_root, job, names, [plan.options for plan in plans.values()])


def fix_plan(host: Host, folder: JobFolder, step: Step) -> Plan:
    """Return the step's plan, made by the first host that gets here.

    Raises:
        Transient: this host has another version of an engine than the plan's.
    """
    path = folder.plan(step)
    if not path.exists():
        plan = host.manager.plan(folder.job(), step)
        with suppress(FileExistsError):
            files.write_once(path, plan.to_json())
    plan = Plan.model_validate_json(path.read_bytes())
    for engine in plan.engines:
        here = next((info for info in host.manager.infos if info.name == engine.plugin), None)
        if here is None or (here.distribution, here.version) != (engine.distribution, engine.version):
            found = f"{here.distribution} {here.version}" if here else "no such plugin"
            raise Transient(
                f"{step} was planned with {engine.distribution} {engine.version}, this host has {found}",
                remedy="give all hosts the same version",
                job=folder.id,
                step=step,
            )
    return plan


# Steps


def next_step(folder: JobFolder) -> Step | str | None:
    """Return the step to run next, `FINISH` when only that is left, None when the job is over."""
    run = folder.run()
    if manifest.result(folder, FINISH, run):
        return None
    if manifest.is_cancelled(folder):
        return FINISH
    for step in folder.job().steps:
        result = manifest.result(folder, step, run)
        if result is None:
            return step
        if result.state is not State.SUCCEEDED:
            return FINISH
    return FINISH


def next_errands(folder: JobFolder) -> list[tuple[Step | str, str]]:
    """Return all that can be worked on now: a step, with "", the name of a part that is missing, or `parts.JOIN`.

    Of a job that is over, what is still to be told: `DELIVER`, with a delivery's id.
    """
    step = next_step(folder)
    if step is None:
        return [(DELIVER, delivery) for delivery in deliveries.due(folder)]
    divided = parts.division(folder, step)
    if not (divided and divided.parts):
        return [(step, "")]
    missing = parts.missing(folder, step, divided)
    return [(step, part.name) for part in missing] or [(step, parts.JOIN)]


def run_step(
    host: Host,
    folder: JobFolder,
    step: Step,
    work: Work = WHOLE,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    watch: Callable[[], None] = lambda: None,
    before_commit: Callable[[], None] = lambda: None,
) -> StepResult:
    """Make one attempt at a step or a part of it, and commit its result: a success, or a failure that no retry mends.

    `watch` is called several times a second, `before_commit` once the work is done; what they raise ends the attempt
    as if it had never begun. Returns the result that stands, which may be another attempt's.

    Raises:
        Transient: this attempt failed, another may succeed.
        Cancelled: the job was cancelled while it ran.
    """
    name = parts.name(step, work.part)
    if standing := manifest.result(folder, name, folder.run()):
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
            answer = _attempt(host, folder, step, work, scratch, log.following(on_progress), watch)
            before_commit()
            result = _success(folder, run, fix_plan(host, folder, step), answer, scratch, started_at)
            standing = commit.commit(folder, result, scratch)
    except Permanent as error:
        return fail(folder, name, str(error), error)
    except StepCrashed as error:
        attempts = files.attempts(folder, name)
        if len(attempts) >= host.settings.step_attempts:
            return fail(folder, name, _gave_up(attempts), error)
        raise
    log.ended(result, standing)
    return standing


def divide(
    host: Host,
    folder: JobFolder,
    step: Step,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    watch: Callable[[], None] = lambda: None,
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
            answer = _attempt(host, folder, step, Work(verb="divide"), scratch, on_progress, watch)
    except Permanent as error:
        return fail(folder, step, str(error), error)
    except StepCrashed as error:
        attempts = files.attempts(folder, name)
        if len(attempts) >= host.settings.step_attempts:
            return fail(folder, step, _gave_up(attempts), error)
        raise
    division = parts.fix(folder, step, answer.division or Division())
    if division.parts:
        _log.info("divided", job=folder.id, step=step, parts=len(division.parts))
    return division


def _begin(host: Host, folder: JobFolder, step: Step) -> None:
    """Tell observers of a job's first attempt at its first step."""
    if step == folder.job().steps[0] and not manifest.last_attempt(folder, step) and not files.attempts(folder):
        host.manager.job_started(folder.job())


def _next_attempt(host: Host, folder: JobFolder, name: str) -> Scratch:
    """Make the folder of the next attempt.

    Raises:
        LimitExceeded: there were as many as the settings allow.
    """
    before = files.attempts(folder, name)
    for scratch in before:
        if files.is_abandoned(scratch, ABANDONED_AFTER):
            files.empty(scratch, "its process died without a word (killed, or the machine went down)")
    if len(before) >= host.settings.step_attempts:
        raise LimitExceeded(_gave_up(before), job=folder.id, step=name)
    return files.begin_attempt(folder, name, after=manifest.last_attempt(folder, name))


@contextmanager
def _cleaned(scratch: Scratch) -> Iterator[None]:
    """Leave of an attempt nothing, or, when it crashed, the fact and its reason."""
    try:
        yield
    except StepCrashed as error:
        files.empty(scratch, str(error))
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
    on_progress: Callable[[Progress], None],
    watch: Callable[[], None],
) -> StepAnswer:
    job = folder.job()
    if step == "emit":
        return _emit(host, folder, job)
    plan = fix_plan(host, folder, step)
    _foresee(host, job, {step: plan})
    if job.output:
        commit.prepare_output(job.output)
    looked = 0.0

    def watch_all() -> None:
        nonlocal looked
        watch()
        if time.monotonic() - looked >= LOOK_EVERY:
            looked = time.monotonic()
            if manifest.is_cancelled(folder) or (work.part and manifest.result(folder, step, folder.run())):
                raise Cancelled  # also of a part when another has failed
            scratch.owner.touch()

    download.fetch(job, host.settings, watch_all)
    request = StepRequest(
        parent=os.getpid(),
        # A broker's address may hold a password, and a step has no business with it.
        settings=host.settings.model_copy(
            update={"broker_url": None, "pod_broker_url": None, "pod_xapi_broker_url": None}
        ),
        root=folder.root.resolve(),
        job=job.id,
        step=step,
        work=work,
        attempt=scratch.attempt,
        scratch=scratch.path.resolve(),
        # Links are left as they are: a portal knows its own paths by their letters.
        published=(job.output or folder.out / scratch.path.name).absolute(),
        plan=plan,
        manifest=manifest.fold(folder),
    )
    return supervisor.run(request, on_progress=on_progress, watch=watch_all)


def _emit(host: Host, folder: JobFolder, job: Job) -> StepAnswer:
    from core.statements import emit_step  # hosts of the heavy steps have no use for what it imports

    plan = fix_plan(host, folder, "emit")
    engine, output = emit_step.run(host.manager, host.settings, job, plan, manifest.fold(folder))
    return StepAnswer(engine=engine, output=output)


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
    last = files.failure_reason(attempts[-1]) or "another attempt is still running"
    return f"gave up after {len(attempts)} attempts: {last}"


def fail(folder: JobFolder, step: str, reason: str, error: BaseException | None = None) -> StepResult:
    """Commit the failure of a step, unless something was committed meanwhile. Returns the result that stands.

    The log gets the reason, and the trace of `error`.
    """
    moment = now()
    attempts = files.attempts(folder, step)
    ours = StepResult(
        job=folder.id,
        step=step,
        run=folder.run(),
        attempt=attempts[-1].attempt if attempts else manifest.last_attempt(folder, step),
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


# The end of a job


def finish(host: Host, folder: JobFolder, *, lock: Lock = folder_lock) -> StepResult:
    """Publish what was committed, close the job and write its manifest.

    Raises:
        Transient: the output can't be written now.
    """
    run = folder.run()
    if standing := manifest.result(folder, FINISH, run):
        return standing
    job = folder.job()
    started_at = now()
    results = [result for step in job.steps if (result := manifest.result(folder, step, run))]
    failed = next((result for result in results if result.state is not State.SUCCEEDED), None)
    if manifest.is_cancelled(folder):
        state, reason = State.CANCELLED, None
    else:
        made = [result for result in results if result.artifacts]
        rights = permissions.of(host.settings)
        try:
            state = commit.publish(folder, job, made, lock=lock, access=rights) if made else State.SUCCEEDED
            reason = f"a newer job has published into {job.output}" if state is State.SUPERSEDED else None
        except Permanent as error:
            state, reason = State.FAILED, f"not published: {error}"
        if failed is not None:
            words = f"{failed.step}: {failed.reason}"
            state, reason = State.FAILED, f"{words}; {reason}" if reason else words
    ours = StepResult(
        job=job.id,
        step=FINISH,
        run=run,
        attempt=1,
        state=state,
        reason=reason,
        remedy=failed.remedy if failed else None,
        host=files.host_name(),
        started_at=started_at,
        finished_at=now(),
    )
    return _close(host, folder, ours)


def give_up(host: Host, folder: JobFolder, step: str, error: AmphipodError) -> StepResult:
    """Fail `step` because of an error that will not be waited out."""
    result = fail(folder, step, str(error), error)
    return _close(host, folder, result) if step == FINISH else result


def _close(host: Host, folder: JobFolder, ours: StepResult) -> StepResult:
    standing = commit.commit(folder, ours)
    files.sweep(folder, ABANDONED_AFTER)
    whole = manifest.fold(folder)
    files.write_replacing(folder.manifest, whole.to_json())
    files.remove(folder.downloads)
    if standing is ours:
        _log_end(whole, ours)
    if standing is ours and ours.state is State.FAILED:
        host.manager.job_failed(whole.job, ours)
    elif standing is ours and ours.state is State.SUCCEEDED:
        host.manager.job_published(whole.job, whole)
    holdings.release(host.settings, folder)
    return standing


def _log_end(whole: Manifest, result: StepResult) -> None:
    """Tell how a job has ended; an error was told where it happened, so this is none."""
    seconds = (result.finished_at - whole.job.created_at).total_seconds()
    about = {"reason": result.reason, "published_in": whole.published_in and str(whole.published_in)}
    told = {name: value for name, value in about.items() if value}
    _log.info(f"job {result.state}", job=result.job, step=FINISH, since_submitted=round(max(seconds, 0.0), 1), **told)


def cancel(folder: JobFolder) -> None:
    """Ask whoever works on this job to stop.

    Raises:
        JobConflict: the job is over.
    """
    whole = manifest.fold(folder)
    if whole.state.is_final and whole.state is not State.CANCELLED:
        raise JobConflict(f"job {folder.id} has already {whole.state}", job=folder.id)
    files.write_replacing(folder.cancelled, json.dumps({"run": folder.run(), "at": now().isoformat()}) + "\n")
    tell(folder, "cancel asked for")


def retry(folder: JobFolder) -> int:
    """Open a new run of a job that failed or was cancelled. Returns its number.

    Steps that succeeded are kept; the others are run again with the plan that they had.

    Raises:
        JobConflict: the job is not over, or has succeeded, or its files are gone.
    """
    whole = manifest.fold(folder)
    over = manifest.result(folder, FINISH, whole.run) is not None
    if not over or whole.state not in (State.FAILED, State.CANCELLED):
        raise JobConflict(
            f"job {folder.id} is {whole.state}",
            remedy="only a failed or cancelled job can be tried again",
            job=folder.id,
        )
    holdings.check_kept(folder, "submit it again")
    with suppress(FileExistsError):  # somebody retries it at the same moment: one run for both
        files.write_once(folder.retry(whole.run), json.dumps({"at": now().isoformat()}) + "\n")
        if holdings.swept(folder):  # at this very moment
            folder.retry(whole.run).unlink(missing_ok=True)
            holdings.check_kept(folder, "submit it again")
        tell(folder, "retry asked for", run=whole.run + 1)
    return whole.run + 1


# In-process


def run_embedded(
    host: Host,
    folder: JobFolder,
    *,
    jobs: int = 1,
    on_progress: Callable[[str, Progress], None] = lambda step, progress: None,
    on_end: Callable[[str, State], None] = lambda step, state: None,
    watch: Callable[[], None] = lambda: None,
) -> Manifest:
    """Run a job to its end in this process, without a queue; `jobs` parts of a divided step at a time.

    `on_progress` hears of each step from its beginning, of the last, `FINISH`, too; `on_end` how it stands in the end.
    A step that crashes is tried again; one that meets a full disk or a service out of reach fails at once, because
    somebody is waiting. `watch` is called several times a second while a step runs; what it raises ends the attempt as
    if it had never begun, and leaves here.

    Raises:
        JobConflict: another process is at it.
    """
    about = {"job": folder.id, "correlation_id": folder.job().correlation}
    with claim.held(folder), structlog.contextvars.bound_contextvars(**about):
        while step := next_step(folder):
            on_progress(step, Progress(0, 0, 0, _BEGINNINGS.get(step, "starting")))
            try:
                if step == FINISH:
                    finish(host, folder)
                else:
                    _run_embedded_step(host, folder, cast("Step", step), jobs, on_progress, watch)
            except StepCrashed as error:
                _log.warning("attempt failed", step=step, reason=str(error), exc_info=True)
            except Transient as error:
                give_up(host, folder, step, error)
            except Cancelled:
                continue
            if result := manifest.result(folder, step, folder.run()):
                on_end(step, result.state)
    return manifest.fold(folder)


def _run_embedded_step(
    host: Host,
    folder: JobFolder,
    step: Step,
    jobs: int,
    on_progress: Callable[[str, Progress], None],
    watch: Callable[[], None],
) -> None:
    def report(progress: Progress) -> None:
        on_progress(step, progress)

    division = divide(host, folder, step, on_progress=report, watch=watch) if jobs > 1 else Division()
    if isinstance(division, StepResult):
        return
    if not division.parts:
        run_step(host, folder, step, on_progress=report, watch=watch)
        return
    _run_parts(host, folder, step, division, jobs, report, watch)
    if not manifest.result(folder, step, folder.run()):
        run_join(
            host, folder, step, division, on_progress=lambda far: report(Progress(1, 1, 0, far.doing)), watch=watch
        )


def _run_parts(
    host: Host,
    folder: JobFolder,
    step: Step,
    division: Division,
    jobs: int,
    on_progress: Callable[[Progress], None],
    watch: Callable[[], None],
) -> None:
    """Do all parts, `jobs` at a time, or none to its end when one fails or this process is interrupted."""
    whole = parts.Sum(division, on_progress)
    shared = host.settings.threads or max(1, (os.cpu_count() or 1) // jobs)
    each = Host(host.settings.model_copy(update={"threads": shared}), host.manager)
    stopped = threading.Event()

    def watch_all() -> None:
        watch()
        if stopped.is_set():
            raise Cancelled

    def run(part: Part) -> None:
        while True:
            try:
                run_part(each, folder, step, part, on_progress=whole.reporter(part), watch=watch_all)
                return
            except StepCrashed as error:
                _log.warning("attempt failed", step=step, part=part.name, reason=str(error), exc_info=True)

    with ThreadPoolExecutor(jobs, thread_name_prefix=step) as pool:
        try:
            for done in as_completed([pool.submit(copy_context().run, run, part) for part in division.parts]):
                done.result()
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def run_part(
    host: Host,
    folder: JobFolder,
    step: Step,
    part: Part,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    watch: Callable[[], None] = lambda: None,
    before_commit: Callable[[], None] = lambda: None,
) -> StepResult:
    """As `run_step`, for a part of a divided step, which fails with it."""
    work = Work(verb="part", part=part)
    result = run_step(host, folder, step, work, on_progress=on_progress, watch=watch, before_commit=before_commit)
    if result.state is State.FAILED:
        fail(folder, step, f"part {part.name}: {result.reason}")
    return result


def run_join(
    host: Host,
    folder: JobFolder,
    step: Step,
    division: Division,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    watch: Callable[[], None] = lambda: None,
    before_commit: Callable[[], None] = lambda: None,
) -> StepResult:
    """Make the whole of a step out of its parts, which are then removed; their records stay.

    Raises:
        Transient: a part's record can't be seen from here yet; or as in `run_step`.
    """
    work = Work(verb="join", parts=parts.outputs(folder, step, division))
    result = run_step(host, folder, step, work, on_progress=on_progress, watch=watch, before_commit=before_commit)
    if result.state is State.SUCCEEDED:
        parts.remove(folder, step, division)
    return result
