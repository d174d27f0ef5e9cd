"""How a job stands, as its portal sees it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core import settings as settings_module
from core.errors import UnknownJob
from core.model import BUILT_IN, Manifest, Model, State
from core.pipeline import parts
from core.queue import job_row, monitor, names
from core.queue import status as queue_status
from core.queue.job_row import StepProgress
from core.retention import holdings
from core.settings import Settings
from core.settings.redaction import discreet
from core.storage import job_state
from core.storage.job_folder import JobFolder
from core.storage.job_state import FINISH

if TYPE_CHECKING:
    import redis
from core.jobs.submission import opened

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


@discreet
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
        whole = job_state.fold(folder)
    except UnknownJob:
        whole = None
        if settings.broker_url is None:
            raise
    if settings.broker_url is None or (whole and whole.state.is_final):
        assert whole
        return _of_manifest(whole, job_row.working(folder, whole), {})
    with opened(settings) as client:
        known = queue_status.read(client, job)
        if whole is None and not known:
            remedy = "check the id, AMPHIPOD_JOBS_ROOT and AMPHIPOD_BROKER_URL"
            raise UnknownJob(f"no job {job}", remedy=remedy, job=job)
        steps = [*(whole.job.steps if whole else (spec.name for spec in BUILT_IN)), FINISH]
        busy = _leased(client, job, steps, known.get("parts", {}) if whole is None else _parts(folder, steps))
        if whole is None:
            return _of_redis(client, job, known, busy)
        if not known:  # not on a queue of this Redis: done in-process, or Redis has lost it
            busy |= job_row.working(folder, whole)
        found = _of_manifest(whole, busy, known.get("progress", {}))
        if found.state is State.WAITING and known:
            waits_for = next((step for step, how in found.steps.items() if how.state is State.WAITING), FINISH)
            queue = names.queue_of(waits_for, whole.job)
            found = found.model_copy(update={"unserved": None if monitor.is_served(client, queue) else queue})
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
        for step in sorted(busy)
        if state is State.RUNNING
    }
    queue = None
    if state is State.WAITING:
        from core.queue import workers

        queue = next((one["queue"] for one in monitor.unserved(client, workers.alive(client))), None)
    return Status(id=job, state=state, steps=steps, reason=known.get("reason"), unserved=queue)


def watch(job: str, *, settings: Settings | None = None) -> Iterator[Status]:
    """Yield a job's status about twice a second until it is over; the last one is final."""
    settings = settings or settings_module.load()
    while True:
        current = status(job, settings=settings)
        yield current
        if current.state.is_final:
            return
        time.sleep(LOOK_EVERY)
