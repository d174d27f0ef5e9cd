"""One message's worth of work: take the lease, run the step, send what comes next. Dramatiq-free but for sending."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import redis
import structlog
from dramatiq.errors import ConnectionClosed

from core import backoff
from core.errors import Cancelled, HostUnfit, Transient, UnknownJob
from core.model import Division, Step, now
from core.pipeline import attempt, graph, lifecycle, parts
from core.pipeline.attempt import Observer
from core.pipeline.planning import fix_plan
from core.pipeline.task import CallbackTask, JoinTask, PartTask, StepTask
from core.pipeline.task import read as read_task
from core.queue import job_row, job_rows, lease, status
from core.queue.job_row import JobRow, RowState
from core.queue.lease import Lease, LeaseHeld
from core.storage import files
from core.storage.job_folder import JobFolder
from core.storage.job_state import FINISH
from core.worker import mounts, turns
from core.worker.context import WorkerContext, WorkItem, insist, send, words
from core.worker.middleware.shutdown import HandBack

#: Seconds between two questions to Redis whether a running job was cancelled.
_ASK_EVERY = 0.5

#: Longest delay, in seconds, of a step that meets a passing fault again and again.
LONGEST_DELAY = 600.0

#: Times that a job's folder is looked for, over half an hour: a network file system may show it late.
LOOKS_FOR_FOLDER = 8

_log = structlog.get_logger()


def serve(worker: WorkerContext, step: str, job: str, part: str, tries: int, queue: str) -> None:
    """Have `step` of a job done and what comes next sent, or put this message back for later.

    Idempotent: what is done is not done again, but what comes next is sent all the same. Returns only when Redis has
    taken what must be sent, so that the message may be acknowledged.
    """
    item = WorkItem(JobFolder(worker.host.settings.jobs_root, job), read_task(step, part), queue, tries)
    try:
        _serve(worker, item)
    except Exception as error:  # noqa: BLE001  # not even its failure could be kept; an ack now would lose the job
        _log.exception("unexpected fault", reason=str(error))
        _again(worker, item, _delay(worker, tries), f"{type(error).__name__}: {error}")


def _serve(worker: WorkerContext, item: WorkItem) -> None:
    if not worker.broker.root.is_open():
        elsewhere(worker, item, worker.broker.root.fault)
        return
    try:
        with lease.hold(worker.redis, item.name, worker.host.settings.lease_seconds) as held:
            _work(worker, item, held)
    except HandBack:
        _again(worker, item, 0, "the worker stops")
    except Cancelled:
        _log.info("stopped: the job was cancelled, or another part of it has failed")
        _send_following(worker, item)
    except Exception as error:  # noqa: BLE001  # an ack now would lose the job; its reason is kept and it is tried again
        _meet(worker, item, error)
    else:
        _send_following(worker, item)


def _meet(worker: WorkerContext, item: WorkItem, error: Exception) -> None:
    """Put a message back that met an error; whose fault it is decides whether that counts as a try."""
    match error:
        case LeaseHeld():
            _again(worker, item, error.seconds_left + 0.1, str(error), at_work=True)
        case redis.RedisError() | ConnectionClosed():
            _again(worker, item, 1, words(worker, error))
        case HostUnfit():
            elsewhere(worker, item, str(error))
        case Transient() | UnknownJob() | OSError() if not worker.broker.root.is_open(now=True):
            elsewhere(worker, item, worker.broker.root.fault or str(error))
        case UnknownJob():
            _look_again(worker, item, error)
        case Transient():
            _retry(worker, item, error)
        case _:
            _log.exception("unexpected fault", reason=str(error))
            _retry(worker, item, Transient(f"{type(error).__name__}: {error}"))


def _work(worker: WorkerContext, item: WorkItem, held: Lease) -> None:
    folder, step = item.folder, item.task.step
    if step == FINISH:
        mounts.check_output(folder.job(), worker.host.settings)
        lifecycle.finish(worker.host, folder, lock=_output_lock(worker))
        _tell(worker, job_row.row_of(folder))
        return
    if step not in graph.next_steps(folder):
        return
    if step not in worker.host.manager.steps.specs:
        raise HostUnfit(f"no plugin here brings the step {step}")
    _tell(worker, _running(folder, item.task.step))
    watch = _watch(worker, folder, held)
    mounts.check(folder.job(), worker.host.settings)
    if isinstance(item.task, StepTask):
        _start_beside(worker, item)
        divided = attempt.divide(worker.host, folder, step, Observer(watch=watch))
        if isinstance(divided, Division) and not divided.parts:
            report = status.reporter(worker.redis, folder.id, step, files.host_name())
            attempt.run_step(worker.host, folder, step, observer=Observer(report, watch, held.confirm))
        return
    division = parts.division(folder, step)
    if division is None:
        raise Transient(f"how {step} was divided can't be seen from here yet")
    if isinstance(item.task, JoinTask):
        attempt.run_join(worker.host, folder, step, division, Observer(watch=watch, before_commit=held.confirm))
    else:
        _work_part(worker, folder, step, division, item.task.part, watch, held)


def _start_beside(worker: WorkerContext, item: WorkItem) -> None:
    """Send what may run beside a step, once its plan says so."""
    folder, job = item.folder, item.folder.job()
    others = [step for step in job.steps if item.task.step in job.spec(step).beside]
    if (
        not others
        or folder.beside(item.task.step).exists()
        or not fix_plan(worker.host, folder, item.task.step).keeps_time
    ):
        return
    ready = graph.next_steps(folder)
    for step in others:
        if step in ready:
            send(worker, replace(item, task=StepTask(step), tries=0), 0)
    folder.beside(item.task.step).touch()


def _work_part(
    worker: WorkerContext,
    folder: JobFolder,
    step: Step,
    division: Division,
    name: str,
    watch: Callable[[], None],
    held: Lease,
) -> None:
    part = next(part for part in division.parts if part.name == name)
    report = status.part_reporter(worker.redis, folder.id, step, division, part, files.host_name())
    attempt.run_part(worker.host, folder, step, part, Observer(report, watch, held.confirm))


def _watch(worker: WorkerContext, folder: JobFolder, held: Lease) -> Callable[[], None]:
    run = folder.run()
    asked = 0.0

    def watch() -> None:
        nonlocal asked
        worker.shutdown.check()
        held.check()
        if time.monotonic() - asked >= _ASK_EVERY:
            asked = time.monotonic()
            with suppress(redis.RedisError):
                if status.is_cancelled(worker.redis, folder.id, run):
                    raise Cancelled

    return watch


def _output_lock(worker: WorkerContext) -> Callable[[Path], contextlib.AbstractContextManager[None]]:
    @contextlib.contextmanager
    def lock(output: Path) -> Iterator[None]:
        digest = hashlib.sha256(os.fsencode(output.resolve())).hexdigest()[:32]
        with lease.hold(worker.redis, f"output.{digest}", worker.host.settings.lease_seconds):
            yield

    return lock


def _tell(worker: WorkerContext, row: JobRow) -> None:
    with suppress(redis.RedisError):  # the files say it too
        status.set_rows(worker.redis, [row])


def _running(folder: JobFolder, step: str) -> JobRow:
    about = {"state": RowState.RUNNING, "step": step, "hosts": (files.host_name(),), "changed_at": now()}
    return job_row.row_of(folder).model_copy(update=about)


def _tell_put_off(worker: WorkerContext, item: WorkItem, delay: float, reason: str) -> None:
    """Tell lists that a job waits for its next try, unless it is over or at another step already."""
    row = _row(worker, item.folder)
    if row is None or row.step != item.task.step or row.state.is_final:
        return
    about: dict[str, object] = {"state": RowState.WAITING, "tries": item.tries, "changed_at": now()}
    if delay:
        about |= {"state": RowState.DELAYED, "next_try": now() + timedelta(seconds=delay), "reason": reason}
    _tell(worker, row.model_copy(update=about))


def _row(worker: WorkerContext, folder: JobFolder) -> JobRow | None:
    """Return a job's row from its files, or where they can't be seen, as lists have it."""
    try:
        return job_row.row_of(folder)
    except (UnknownJob, OSError):
        with suppress(redis.RedisError):
            return job_rows.read(worker.redis, [folder.id]).get(folder.id)
    return None


# Sending


def elsewhere(worker: WorkerContext, item: WorkItem, why: str) -> None:
    """Leave a message to another host, or to this one when it is fit again; nothing is counted against the job."""
    why = why or f"{item.folder.root}: no job was ever submitted with this folder"
    _again(worker, item, _delay(worker, 0), f"this host can't serve it: {why}")


def _look_again(worker: WorkerContext, item: WorkItem, error: UnknownJob) -> None:
    if item.tries < LOOKS_FOR_FOLDER:
        _again(worker, replace(item, tries=item.tries + 1), _delay(worker, item.tries), str(error))
        return
    reason = str(error)
    if not item.folder.request.exists():
        reason = f"{error.message}, though the folder of the service is there: the job's was removed"
    _log.error("job given up", reason=reason)
    if row := _row(worker, item.folder):
        _tell(worker, row.model_copy(update={"state": RowState.FAILED, "reason": reason, "changed_at": now()}))


def _retry(worker: WorkerContext, item: WorkItem, error: Transient) -> None:
    if item.tries < worker.host.settings.step_retries:
        _again(worker, replace(item, tries=item.tries + 1), _delay(worker, item.tries), str(error), error)
        return
    lifecycle.give_up(worker.host, item.folder, item.task.step, error)
    if item.task.step == FINISH:
        _tell(worker, job_row.row_of(item.folder))
    _send_following(worker, item)


def _delay(worker: WorkerContext, tries: int) -> float:
    return backoff.pause(tries + 1, first=worker.host.settings.retry_seconds, longest=LONGEST_DELAY)


def _send_following(worker: WorkerContext, item: WorkItem) -> None:
    folder, step = item.folder, item.task.step
    if step not in graph.next_steps(folder) or not isinstance(item.task, PartTask):
        following = graph.next_tasks(folder, after=step)
        if following and not isinstance(following[0], CallbackTask):
            _tell(worker, job_row.row_of(folder).model_copy(update={"changed_at": now()}))
        turns.send_parts(worker, item, [task for task in following if isinstance(task, PartTask)])
        for task in following:
            if not isinstance(task, PartTask):
                send(worker, replace(item, task=task, tries=0), 0)
        return
    division = parts.division(folder, step)
    assert division
    missing = {part.name for part in parts.missing(folder, step, division)}
    if item.task.part in missing:  # given up for a cancel that this host's view of the files doesn't show yet
        send(worker, item, 1)
        return
    done = insist(worker, lambda: status.part_done(worker.redis, folder.id, step, folder.run(), item.task.part))
    if done >= len(division.parts) or not missing:
        send(worker, replace(item, task=JoinTask(step), tries=0), 0)
    else:
        turns.send_parts(worker, item, [PartTask(step, part.name) for part in division.parts if part.name in missing])


def _again(
    worker: WorkerContext,
    item: WorkItem,
    delay: float,
    reason: str,
    error: Transient | None = None,
    *,
    at_work: bool = False,
) -> None:
    """Put the message back, and say why; an error is worth a warning with its trace.

    `at_work` says that another worker is at it, so that lists need not know.
    """
    with suppress(UnknownJob, OSError):
        if delay and item.task.step not in graph.next_steps(item.folder):
            delay = min(delay, 1.0)  # done by another: only what comes next is left to send
    about = {"reason": reason, "next_try": round(delay, 1)}
    if error:
        _log.warning("put back", **about, tries=item.tries, exc_info=error)
    else:
        _log.info("put back", **about)
    if not at_work:
        _tell_put_off(worker, item, delay, reason)
    send(worker, item, delay, reason)
