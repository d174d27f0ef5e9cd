"""A portal's side of the queue: submit, status, wait, cancel, retry, resume.

Importing it needs neither av nor dramatiq nor redis; they are loaded when something is sent or asked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import settings as settings_module
from core.errors import BadSettings, OutOfReach, UnknownJob
from core.jobs import recovery
from core.model import STEPS, Callback, Job, Manifest, Model, Priority, Source, State, Step
from core.pipeline import lifecycle, parts
from core.pipeline.lifecycle import Host
from core.queue import job_row, job_rows, monitor
from core.queue import status as queue_status
from core.queue.job_row import StepProgress
from core.redis import shared_root
from core.retention import holdings
from core.settings import Settings
from core.storage import conflicts, files, manifest
from core.storage import deliveries as callbacks_module
from core.storage.files import JobFolder
from core.storage.manifest import FINISH

if TYPE_CHECKING:
    import redis

#: Seconds between two looks at a job that is waited for.
LOOK_EVERY = 0.5


class StepStatus(Model):
    """How a step stands."""

    state: State
    reason: str | None = None
    progress: StepProgress | None = None


class Status(Model):
    """How a job stands."""

    id: str
    state: State
    steps: Mapping[str, StepStatus] = {}
    reason: str | None = None
    #: Queue that a waiting job is on, or may be, and that no worker reads.
    unserved: str | None = None
    #: When and why the job's files were removed; its record is what is left.
    swept: str | None = None


def submit(
    source: str | Path,
    *,
    presentation: str | Path | None = None,
    steps: Sequence[Step] | None = None,
    output: str | Path | None = None,
    replace: bool = False,
    language: str = "auto",
    options: Mapping[str, Any] | None = None,
    engines: Mapping[Step, str] | None = None,
    priority: Priority = "normal",
    idempotency_key: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    correlation_id: str | None = None,
    settings: Settings | None = None,
    host: Host | None = None,
) -> str:
    """Have workers on other machines process `source`, and return the job's id.

    With a `presentation`, `source` is the presenter's take, and one film is composed of both; `steps` are then by
    default compose and encode, else encode. `source` and `output` lie under `media_roots`, where the workers see them
    too; files in `output` that are another source's, or nobody's, are not replaced, unless `replace` says so. With an
    idempotency key the same request, however often it is made, is one job; without one each call is a new job. Each of
    the `callbacks` is told when the job is over. A `correlation_id` stands in each line of the log about the job and in
    the callbacks' header `X-Correlation-ID`; by default it is the job's id. With a `host`, what its plugins can tell is
    wrong is refused now; without one the job fails with those words.

    Raises:
        BadCall: `host` was given, and no engine can do this.
        BadSettings: no broker or no media roots are set.
        WouldReplace: `output` holds what is not this job's; found now, or when the job fails.
        UnsafePath: `source` or `output` lies outside the media roots.
        JobConflict: the key belongs to a different request.
        OutOfReach: Redis does not answer; with a key, calling again is safe.
    """
    settings = settings or settings_module.load()
    if not settings.media_roots:
        raise BadSettings("no media roots", remedy="set AMPHIPOD_MEDIA_ROOTS to the folders that the workers share")
    job = Job(
        id=lifecycle.id_for_key(idempotency_key) if idempotency_key else lifecycle.new_id(),
        sources=sources(settings, source, presentation),
        steps=tuple(steps or (("compose", "encode") if presentation else ("encode",))),
        output=files.resolve(Path(output), settings.media_roots) if output else None,
        replace=replace,
        language=language,
        options=options or {},
        engines=engines or {},
        priority=priority,
        attributes=attributes or {},
        callbacks=tuple(callbacks),
        correlation_id=correlation_id,
    )
    if host:
        lifecycle.check(host, job, elsewhere=True)
    elif not JobFolder(settings.jobs_root, job.id).request.exists():
        conflicts.foresee(settings.jobs_root, job, dict.fromkeys(job.steps), ())
    send(job, settings)
    return job.id


def send(job: Job, settings: Settings, *, delay: float = 0) -> None:
    """Store a job and enqueue it, to begin in `delay` seconds; doing it again is safe.

    Raises:
        JobConflict: its id belongs to a different request.
        OutOfReach: Redis does not answer.
    """
    with _redis(settings) as client:
        shared_root.claim(client, settings.jobs_root)
        folder, new = lifecycle.submit(job, settings.jobs_root)
        if not new:
            os.utime(folder.request)  # whoever made it, and could not send it, leaves it to us
        stamp = folder.request.stat().st_mtime_ns
        try:
            _send_next(client, settings, folder, delay)
        except BaseException:
            if new and folder.request.stat().st_mtime_ns == stamp:
                files.discard(folder)  # nothing that was refused runs later
                _forget(client, job.id)
            raise
        if not folder.request.exists():
            raise OutOfReach(f"job {job.id} was taken back by whoever sent it first", remedy="send it again")


def _forget(client: redis.Redis, job: str) -> None:
    from redis import RedisError

    with suppress(RedisError):  # a worker of `callbacks` notices that there is no such job
        job_rows.remove(client, [job])


def sources(settings: Settings, source: str | Path, presentation: str | Path | None) -> tuple[Source, ...]:
    """Return a job's sources: a lecture, or a presenter and a presentation.

    Raises:
        UnsafePath: one lies outside the media roots.
    """
    first = files.resolve(Path(source), settings.media_roots)
    if presentation is None:
        return (Source(path=first),)
    second = files.resolve(Path(presentation), settings.media_roots)
    return (Source(path=first, role="presenter"), Source(path=second, role="presentation"))


def status(job: str, *, settings: Settings | None = None) -> Status:
    """Tell how a job stands: from its files, or from Redis where they can't be seen.

    Raises:
        UnknownJob: neither knows it.
        OutOfReach: Redis does not answer, and the files do not tell the end.
    """
    settings = settings or settings_module.load()
    found = _status(job, settings)
    gone = holdings.swept(JobFolder(settings.jobs_root, job))
    return found.model_copy(update={"swept": gone.words}) if gone else found


def _status(job: str, settings: Settings) -> Status:
    whole: Manifest | None
    folder = JobFolder(settings.jobs_root, job)
    try:
        whole = manifest.fold(folder)
    except UnknownJob:
        whole = None
        if settings.broker_url is None:
            raise
    if settings.broker_url is None or (whole and whole.state.is_final):
        assert whole
        return _of_manifest(whole, job_row.working(folder, whole), {})
    with _redis(settings) as client:
        known = queue_status.read(client, job)
        if whole is None and not known:
            remedy = "check the id, AMPHIPOD_JOBS_ROOT and AMPHIPOD_BROKER_URL"
            raise UnknownJob(f"no job {job}", remedy=remedy, job=job)
        steps = [*(whole.job.steps if whole else STEPS), FINISH]
        busy = _leased(client, job, steps, known.get("parts", {}) if whole is None else _parts(folder, steps))
        if whole is None:
            return _of_redis(client, job, known, busy)
        if not known:  # not on a queue of this Redis: done in-process, or Redis has lost it
            busy |= job_row.working(folder, whole)
        found = _of_manifest(whole, busy, known.get("progress", {}))
        if found.state is State.WAITING and known:
            waits_for = next((step for step, how in found.steps.items() if how.state is State.WAITING), FINISH)
            found = found.model_copy(update={"unserved": _unserved(client, waits_for)})
        return found


def _parts(folder: JobFolder, steps: Iterable[str]) -> dict[str, list[str]]:
    divisions = ((step, parts.division(folder, step)) for step in steps)
    return {step: [part.name for part in divided.parts] for step, divided in divisions if divided}


def _leased(client: redis.Redis, job: str, steps: Iterable[str], divided: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the steps that somebody alive works on: whoever died no longer holds its lease."""
    from core.queue import lease

    pieces = {step: ("", parts.JOIN, *divided.get(step, ())) for step in steps}
    step_of = {lease.name_of(job, step, part): step for step, those in pieces.items() for part in those}
    return {step_of[name] for name in lease.held(client, step_of)}


def _of_manifest(whole: Manifest, busy: Collection[str], progress: Mapping[str, Any]) -> Status:
    """Tell how a job stands; what is begun and not over runs only where somebody is at it."""
    steps = {}
    for name, step in whole.steps.items():
        state = step.state
        if not state.is_final and not whole.state.is_final:
            state = State.RUNNING if name in busy else State.WAITING
        far = StepProgress(**progress[name]) if name in progress and state is State.RUNNING else None
        steps[name] = StepStatus(state=state, reason=step.reason, progress=far)
    state = whole.state if whole.state.is_final else State.RUNNING if busy else State.WAITING
    return Status(id=whole.job.id, state=state, steps=steps, reason=whole.reason)


def _of_redis(client: redis.Redis, job: str, known: Mapping[str, Any], busy: Collection[str]) -> Status:
    """Tell how a job stands where its files can't be seen."""
    state = State(known.get("state", State.WAITING))
    if not state.is_final:
        state = State.RUNNING if busy else State.WAITING
    progress = known.get("progress", {})
    steps = {
        step: StepStatus(state=State.RUNNING, progress=StepProgress(**progress[step]) if step in progress else None)
        for step in STEPS
        if step in busy and state is State.RUNNING
    }
    queue = None
    if state is State.WAITING:
        from core.queue import workers

        queue = next((one["queue"] for one in monitor.unserved(client, workers.alive(client))), None)
    return Status(id=job, state=state, steps=steps, reason=known.get("reason"), unserved=queue)


def _unserved(client: redis.Redis, step: str) -> str | None:
    from core.queue import names

    return None if monitor.is_served(client, names.QUEUES[step]) else names.QUEUES[step]


def watch(job: str, *, settings: Settings | None = None) -> Iterator[Status]:
    """Yield a job's status about twice a second until it is over; the last one is final."""
    settings = settings or settings_module.load()
    while True:
        current = status(job, settings=settings)
        yield current
        if current.state.is_final:
            return
        time.sleep(LOOK_EVERY)


def cancel(job: str, *, settings: Settings | None = None) -> None:
    """Stop a job, waiting or running; whoever runs it ends within two seconds.

    Raises:
        UnknownJob, OutOfReach
        JobConflict: it is over.
    """
    settings = settings or settings_module.load()
    folder = JobFolder(settings.jobs_root, job)
    lifecycle.cancel(folder)
    if settings.broker_url:
        with _redis(settings) as client:
            queue_status.request_cancel(client, job, folder.run())
            _send_next(client, settings, folder)


def retry(job: str, *, settings: Settings | None = None) -> None:
    """Run the failed or cancelled steps of a job again; those that succeeded are kept.

    Raises:
        UnknownJob, OutOfReach
        JobConflict: it is not over, or has succeeded.
    """
    settings = settings or settings_module.load()
    folder = JobFolder(settings.jobs_root, job)
    with _redis(settings) as client:
        client.ping()
        lifecycle.retry(folder)
        queue_status.forget_progress(client, job)
        _send_next(client, settings, folder)


def tell(job: str, *, settings: Settings | None = None) -> None:
    """Tell the portal once more of a job's end, where it was given up.

    Raises:
        UnknownJob, OutOfReach
        BadCall: nothing was given up.
    """
    settings = settings or settings_module.load()
    folder = JobFolder(settings.jobs_root, job)
    folder.job()
    holdings.check_kept(folder, "submit it again")
    with _redis(settings) as client:
        client.ping()
        callbacks_module.reopen(folder)
        _send_next(client, settings, folder)


def resume(*, settings: Settings | None = None, adopt: bool = False) -> list[str]:
    """Put back on their queues the jobs that are on none and are unfinished or have a portal to be told.

    After a loss of Redis' data; a worker of `callbacks` does it too, every few minutes. With `adopt` the jobs root of
    this host becomes the service's, whatever it was before. Returns their ids.

    Raises:
        OutOfReach
    """
    settings = settings or settings_module.load()
    with _redis(settings) as client:
        if adopt:
            shared_root.adopt(client, settings.jobs_root)
        shared_root.claim(client, settings.jobs_root)
        known = monitor.queued_jobs(client)
        unknown = sorted(files.names(settings.jobs_root).keys() - known)
        return recovery.put_back(client, settings, recovery.unsent(settings.jobs_root, unknown))


def _send_next(client: redis.Redis, settings: Settings, folder: JobFolder, delay: float = 0) -> None:
    """Enqueue what comes next for a job, if anything does; a message too many does no harm."""
    if found := recovery.look(folder):
        recovery.put_back(client, settings, [found], delay)


def _redis(settings: Settings) -> AbstractContextManager[redis.Redis]:
    from core.redis import connection

    return connection.opened(settings)
