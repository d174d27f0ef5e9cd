"""What a worker process works with, what a message asks of it, and how the next one is sent."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import redis
import structlog
from dramatiq.errors import ConnectionClosed

from core import backoff
from core.errors import UnknownJob
from core.model import Priority
from core.pipeline.planning import Host
from core.pipeline.task import Task
from core.queue import lease, names
from core.queue.broker import Broker
from core.redis import connection
from core.storage.job_folder import JobFolder
from core.worker.middleware.shutdown import Shutdown

#: Longest pause, in seconds, before Redis is asked again whether it takes a message.
_LONGEST_WAIT = 15.0

_T = TypeVar("_T")

_log = structlog.get_logger()


@dataclass(frozen=True)
class WorkerContext:
    """What a worker process works with."""

    host: Host
    broker: Broker
    redis: redis.Redis
    shutdown: Shutdown


@dataclass(frozen=True)
class WorkItem:
    """A message as it came: what it asks for, of which job."""

    folder: JobFolder
    task: Task
    #: Bare name of the queue of the message, for as long as the job can't be seen from here.
    queue: str
    #: Passing faults that it has met so far.
    tries: int = 0

    @property
    def name(self) -> str:
        return lease.name_of(self.folder.id, self.task.step, self.task.part)


def send(worker: WorkerContext, item: WorkItem, delay: float, reason: str = "") -> None:
    """Enqueue the message of a work item, for `delay` seconds from now; returns when Redis has it.

    `reason` says why it is put back, for whoever looks at what is delayed.
    """
    queue = item.queue
    priority: Priority = "normal"
    with suppress(UnknownJob, OSError):
        job = item.folder.job()
        queue, priority = names.queue_of(item.task.step, job), job.priority
    message = names.message(
        item.task.step, item.folder.id, queue, priority, part=item.task.part, tries=item.tries, reason=reason
    )
    insist(worker, lambda: worker.broker.enqueue(message, delay=round(delay * 1000) if delay else None))


def insist(worker: WorkerContext, call: Callable[[], _T]) -> _T:
    """Call Redis, however long it is away: until it has answered, this worker's message is not acknowledged."""
    for failures in itertools.count(1):
        try:
            return call()
        except (redis.RedisError, ConnectionClosed) as error:
            _log.warning("Redis is waited for", reason=words(worker, error))
            time.sleep(backoff.pause(failures, first=1, longest=_LONGEST_WAIT))
    raise AssertionError


def words(worker: WorkerContext, error: Exception) -> str:
    address = worker.host.settings.broker_url
    return str(connection.refusal(error, address) if isinstance(error, redis.RedisError) else error)
