"""A job's life: submitted, one step after the other, published, over; cancelled or tried again. Its files decide."""

from __future__ import annotations

import hashlib
import json
import secrets
from contextlib import suppress
from pathlib import Path

import structlog

from core.errors import (
    AmphipodError,
    JobConflict,
    Permanent,
)
from core.model import Job, Manifest, State, Step, StepResult, now
from core.pipeline import corrections
from core.pipeline.attempt import fail
from core.pipeline.planning import Host
from core.retention import holdings
from core.storage import (
    commit,
    files,
    inputs,
    job_folder,
    job_state,
    order,
    permissions,
    publish,
    scratch_folder,
    story,
)
from core.storage.job_folder import JobFolder
from core.storage.job_state import FINISH
from core.storage.publish import Lock, folder_lock

_log = structlog.get_logger()


def submit(job: Job, root: Path) -> tuple[JobFolder, bool]:
    """Store a job; the same request under the same id is the same job. Returns its folder, and whether it is new.

    Raises:
        JobConflict: this id is taken by a different request.
    """
    folder, new = job_folder.store(job, root)
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
    told_apart_by = {"created_at", "correlation_id", "declared"}  # of the call, not of what it asks for
    return one.model_dump(exclude=told_apart_by) == other.model_dump(exclude=told_apart_by)


def new_id() -> str:
    """Return a fresh id that sorts by time."""
    return f"{now():%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def id_for_key(key: str) -> str:
    """Return the id that an idempotency key stands for."""
    return f"key-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def finish(host: Host, folder: JobFolder, *, lock: Lock = folder_lock) -> StepResult:
    """Publish what was committed, close the job and write its manifest.

    Raises:
        Transient: the output can't be written now.
    """
    run = folder.run()
    if standing := job_state.result(folder, FINISH, run):
        return standing
    job = folder.job()
    started_at = now()
    results = [result for step in job.steps if (result := job_state.result(folder, step, run))]
    failed = next((result for result in results if result.state is not State.SUCCEEDED), None)
    if job_state.is_cancelled(folder):
        state, reason = State.CANCELLED, None
    else:
        made = [result for result in results if result.artifacts]
        rights, roots = permissions.of(host.settings), host.settings.media_roots
        try:
            made = corrections.kept(folder, job, made, roots)
            publishing = publish.publish(folder, job, made, lock=lock, access=rights, roots=roots) if made else None
            state = publishing or State.SUCCEEDED
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
    scratch_folder.sweep(folder)
    whole = job_state.fold(folder)
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
    whole = job_state.fold(folder)
    if whole.state.is_final and whole.state is not State.CANCELLED:
        raise JobConflict(f"job {folder.id} has already {whole.state}", job=folder.id)
    files.write_replacing(folder.cancelled, json.dumps({"run": folder.run(), "at": now().isoformat()}) + "\n")
    tell(folder, "cancel asked for")


def retry(folder: JobFolder, step: Step | None = None) -> int:
    """Open a new run of a job that failed or was cancelled. Returns its number.

    Steps that succeeded are kept; the others are run again with the plan that they had. With `step` other failures
    stand: only it is run again, and what was never begun.

    Raises:
        JobConflict: the job is not over, or has succeeded, or its files are gone; it has no such step, or that one
            has not failed.
    """
    whole = job_state.fold(folder)
    over = job_state.result(folder, FINISH, whole.run) is not None
    if not over or whole.state not in (State.FAILED, State.CANCELLED):
        raise JobConflict(
            f"job {folder.id} is {whole.state}",
            remedy="only a failed or cancelled job can be tried again",
            job=folder.id,
        )
    only = {"step": step} if step else {}
    if step:
        _check_failed(whole, step)
    holdings.check_kept(folder, "submit it again")
    try:
        files.write_once(folder.retry(whole.run), json.dumps({"at": now().isoformat(), **only}) + "\n")
    except FileExistsError:  # somebody retries it at the same moment: one run for both
        other = job_state.retried_step(folder, whole.run)
        if other in (None, step):
            return whole.run + 1
        words = f"somebody else has {other} of job {folder.id} tried again at this moment"
        raise JobConflict(words, remedy="try again once that is over", job=folder.id) from None
    if holdings.swept(folder):  # at this very moment
        folder.retry(whole.run).unlink(missing_ok=True)
        holdings.check_kept(folder, "submit it again")
    tell(folder, "retry asked for", run=whole.run + 1, **only)
    return whole.run + 1


def _check_failed(whole: Manifest, step: Step) -> None:
    job = whole.job.id
    one = whole.steps.get(step)
    if one is None:
        raise JobConflict(f"job {job} has no step {step}", remedy=f"it has {', '.join(whole.steps)}", job=job)
    if one.state is State.SUCCEEDED:
        raise JobConflict(f"{step} of job {job} has succeeded", remedy="what succeeded is kept", job=job)
    if one.state is not State.FAILED and whole.state is State.FAILED:
        failed = ", ".join(name for name, other in whole.steps.items() if other.state is State.FAILED)
        remedy = f"try {failed} again" if failed else "try the whole job again"
        raise JobConflict(f"{step} of job {job} has not failed", remedy=remedy, job=job)
