"""Finds the jobs that are unfinished and on no queue, because Redis has lost something, and puts them back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UnknownJob
from core.job_index import rebuild
from core.model import Priority, now
from core.pipeline import graph
from core.pipeline.task import CallbackTask, Task
from core.queue import job_row, job_rows, monitor, names, status
from core.queue.job_row import JobRow, RowState
from core.redis.keys import NAMESPACE
from core.settings import Settings
from core.storage import files, job_folder
from core.storage.job_folder import JobFolder

if TYPE_CHECKING:
    import dramatiq
    import redis

#: Jobs' folders that are read at the same time: a network file system answers each in its own time.
_READERS = 16

#: Jobs that go to Redis together.
_BATCH = 500

#: Jobs whose files are read in one look, at the most; the next look goes on.
_LOOKS = 5000

#: Of a lease's seconds, for how long a job's folder must have been left alone before it counts as lost.
_GRACE = 3

_LOOKED_KEY = f"{NAMESPACE}:recheck"


@dataclass(frozen=True)
class Unsent:
    """A job, and the messages that it should have."""

    job: str
    priority: Priority
    #: How it stands; None when only its end is left to be told.
    row: JobRow | None
    #: With the queue of each.
    tasks: tuple[tuple[Task, str], ...]


def look(folder: JobFolder) -> Unsent | None:
    """Return what comes next for a job, from its files; None if nothing does.

    Raises:
        UnknownJob
    """
    tasks = graph.next_tasks(folder)
    if not tasks:
        return None
    row, job = job_row.row_of(folder) if not isinstance(tasks[0], CallbackTask) else None, folder.job()
    return Unsent(job.id, job.priority, row, tuple((task, names.queue_of(task.step, job)) for task in tasks))


def unsent(root: Path, jobs: Sequence[str]) -> Iterator[Unsent]:
    """Look at many jobs; those that are not stored whole, or gone meanwhile, are passed over."""

    def read(job: str) -> Unsent | None:
        try:
            return look(JobFolder(root, job))
        except (UnknownJob, FileNotFoundError, ValueError):
            return None

    with ThreadPoolExecutor(_READERS, thread_name_prefix="jobs") as pool:
        for first in range(0, len(jobs), _BATCH):
            yield from (found for found in pool.map(read, jobs[first : first + _BATCH]) if found)


def put_back(client: redis.Redis, settings: Settings, found: Iterable[Unsent], delay: float = 0) -> list[str]:
    """Enqueue what these jobs should have on their queues, for `delay` seconds from now. Returns their ids.

    Raises:
        OutOfReach, BadSettings: Redis does not take it.
    """
    from core.queue import broker

    sender = broker.connect(settings)
    done: list[str] = []
    batch: list[Unsent] = []
    next_try = now() + timedelta(seconds=delay) if delay else None

    def send() -> None:
        messages = [message for one in batch for message in _messages(one)]
        status.set_rows(client, [_put_off(one.row, next_try) for one in batch if one.row])
        sender.enqueue_all(messages, delay=round(delay * 1000) or None)
        done.extend(one.job for one in batch)
        batch.clear()

    for one in found:
        batch.append(one)
        if len(batch) == _BATCH:
            send()
    if batch:
        send()
    return done


def _put_off(row: JobRow, until: datetime | None) -> JobRow:
    if until is None or row.state.is_final:
        return row
    return row.model_copy(update={"state": RowState.DELAYED, "next_try": until})


def _messages(one: Unsent) -> Iterator[dramatiq.Message[None]]:
    for task, queue in one.tasks:
        yield names.message(task.step, one.job, queue, one.priority, part=task.part)


class Recheck:
    """The look for lost jobs that a worker takes now and then; light, however many jobs there are.

    It costs a listing of the jobs and a reading of the queues; a job's files are read only while it is on no queue and
    its folder has changed since it was found to be at rest.
    """

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        #: Folders' last changes, of jobs with nothing left to do.
        self._at_rest: dict[str, int] = {}

    def once(self) -> list[str]:
        """Take a look, unless another worker took one in this period. Returns the jobs that were put back."""
        period = round(self._settings.recheck_seconds * 900)
        if not self._client.set(_LOOKED_KEY, "1", nx=True, px=period):
            return []
        root = self._settings.jobs_root
        listed = job_rows.known(self._client)
        changed = job_folder.names(root)
        rebuild.mend(self._client, root, listed, changed)
        self._at_rest = {job: at for job, at in self._at_rest.items() if changed.get(job) == at}
        # A job that is just being stored has no message yet.
        settled_by = (files.clock(root) - _GRACE * self._settings.lease_seconds) * 1e9
        quiet = [job for job, at in changed.items() if at < settled_by and job not in self._at_rest]
        known = monitor.queued_jobs(self._client) if quiet else set()
        asked = sorted(set(quiet) - known)[:_LOOKS]
        rebuild.refresh(self._client, root, asked)
        found = list(unsent(root, asked))
        lost = {one.job for one in found}
        self._at_rest |= {job: changed[job] for job in asked if job not in lost}
        return put_back(self._client, self._settings, found)
