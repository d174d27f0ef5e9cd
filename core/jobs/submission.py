"""A job is stored, and its first message sent."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import settings as settings_module
from core.errors import BadSettings, OutOfReach
from core.jobs import recovery
from core.model import BUILT_IN, Callback, Job, Priority, Source, Step, StepSpec
from core.pipeline import lifecycle, planning
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.queue import job_rows
from core.redis import shared_root
from core.settings import Settings
from core.settings.redaction import discreet
from core.storage import conflicts, files, job_folder
from core.storage.job_folder import JobFolder

if TYPE_CHECKING:
    import redis


@discreet
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
    asked = tuple(steps or (("compose", "encode") if presentation else ("encode",)))
    asked, own = _declared(asked, settings, host)
    job = Job(
        id=lifecycle.id_for_key(idempotency_key) if idempotency_key else lifecycle.new_id(),
        sources=sources(settings, source, presentation),
        steps=asked,
        declared=own,
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
        planning.check(host, job, elsewhere=True)
    elif not JobFolder(settings.jobs_root, job.id).request.exists():
        conflicts.foresee(settings.jobs_root, job, dict.fromkeys(job.steps), ())
    send(job, settings)
    return job.id


def _declared(
    steps: tuple[Step, ...], settings: Settings, host: Host | None
) -> tuple[tuple[Step, ...], tuple[StepSpec, ...] | None]:
    """Return the steps in their order, and what plugins declare of them; plugins are loaded only if need be."""
    if host is None and set(steps) <= {spec.name for spec in BUILT_IN}:
        return tuple(spec.name for spec in BUILT_IN if spec.name in steps), None
    manager = host.manager if host else Manager(settings)
    ordered = planning.known_steps(manager, steps)
    return ordered, planning.declared(manager, ordered)


def send(job: Job, settings: Settings, *, delay: float = 0) -> None:
    """Store a job and enqueue it, to begin in `delay` seconds; doing it again is safe.

    Raises:
        JobConflict: its id belongs to a different request.
        OutOfReach: Redis does not answer.
    """
    with opened(settings) as client:
        shared_root.claim(client, settings.jobs_root)
        folder, new = lifecycle.submit(job, settings.jobs_root)
        if not new:
            os.utime(folder.request)  # whoever made it, and could not send it, leaves it to us
        stamp = folder.request.stat().st_mtime_ns
        try:
            send_next(client, settings, folder, delay)
        except BaseException:
            if new and folder.request.stat().st_mtime_ns == stamp:
                job_folder.discard(folder)  # nothing that was refused runs later
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


def send_next(client: redis.Redis, settings: Settings, folder: JobFolder, delay: float = 0) -> None:
    """Enqueue what comes next for a job, if anything does; a message too many does no harm."""
    if found := recovery.look(folder):
        recovery.put_back(client, settings, [found], delay)


def opened(settings: Settings) -> AbstractContextManager[redis.Redis]:
    from core.redis import connection

    return connection.opened(settings)
