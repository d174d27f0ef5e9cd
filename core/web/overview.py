"""The service at a glance, for API, pages and events: how many jobs, what waits on which queue, who works on what."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Any, Protocol

from pydantic import BaseModel

from core.hookspecs import NAME
from core.job_index import Counts, JobIndex
from core.model import now
from core.queue import monitor, names, workers
from core.redis import connection
from core.settings import Settings
from core.storage import files
from core.web.local.worker import LocalWorker


class Service(Protocol):
    """What is asked: a server's `Services`."""

    settings: Settings
    index: JobIndex
    #: Does the jobs where there is no broker.
    local: LocalWorker | None

    @property
    def has_broker(self) -> bool: ...


class Queue(BaseModel):
    """What waits on a queue."""

    #: `encoding.high` is served before `encoding`; `local` is this process'.
    name: str
    #: Jobs that wait, and since when the one that waits longest does.
    jobs: int = 0
    oldest: datetime | None = None
    #: Messages: those that wait, that are put off, and that nobody could read.
    messages: int = 0
    delayed: int = 0
    dead: int = 0
    #: Whether a living worker reads it.
    served: bool = True


class Doing(BaseModel):
    """What a worker does now."""

    job: str
    step: str
    part: str = ""
    since: datetime


class Worker(BaseModel):
    """A process that does jobs."""

    id: str
    host: str
    pid: int
    queues: tuple[str, ...]
    threads: int
    version: str
    #: Why it takes no jobs.
    fault: str | None = None
    jobs: tuple[Doing, ...] = ()


class Overview(BaseModel):
    counts: Counts
    queues: tuple[Queue, ...]
    workers: tuple[Worker, ...]


def overview(service: Service) -> Overview:
    """Return all of it.

    Raises:
        OutOfReach
    """
    at_work = worker_list(service)
    return Overview(counts=service.index.counts(), queues=tuple(queue_list(service, at_work)), workers=tuple(at_work))


def queue_list(service: Service, at_work: list[Worker] | None = None) -> list[Queue]:
    """Return the queues.

    Raises:
        OutOfReach
    """
    lines = {line.name: line for line in service.index.lines()}
    if not service.has_broker:
        return [Queue(name=name, jobs=line.jobs, oldest=line.oldest) for name, line in lines.items()]
    alive = worker_list(service) if at_work is None else at_work
    served = {queue for one in alive if not one.fault for queue in one.queues}
    with connection.errors(service.settings):
        counts = monitor.counts(connection.shared(service.settings))
    return [
        Queue(
            name=name,
            jobs=lines[name].jobs if name in lines else 0,
            oldest=lines[name].oldest if name in lines else None,
            messages=found["waiting"],
            delayed=found["delayed"],
            dead=found["dead"],
            served=names.bare(name) in served,
        )
        for name, found in counts.items()
    ]


def worker_list(service: Service) -> list[Worker]:
    """Return the workers that live.

    Raises:
        OutOfReach
    """
    if service.has_broker:
        with connection.errors(service.settings):
            return [_worker(one) for one in workers.alive(connection.shared(service.settings))]
    doing = service.local.at_work() if service.local else None
    jobs = (Doing(job=doing.job, step=doing.step, since=doing.since),) if doing else ()
    host = files.host_name()
    return [
        Worker(
            id=f"{host}-serve",
            host=host,
            pid=os.getpid(),
            queues=("local",),
            threads=1,
            version=version(NAME),
            jobs=jobs,
        )
    ]


def _worker(said: Mapping[str, Any]) -> Worker:
    jobs = tuple(
        Doing(job=one["job"], step=one["step"], part=one.get("part", ""), since=one.get("since") or now())
        for one in said["jobs"]
        if one["job"]
    )
    about = {name: said[name] for name in ("id", "host", "pid", "queues", "threads", "version")}
    return Worker(**about, fault=said.get("fault") or None, jobs=jobs)
