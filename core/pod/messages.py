"""One message of Esup-Pod's, whatever brought it: read, then done, or parked with the reason."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from pydantic import ValidationError

from core import jobs, pipeline, statements, storage
from core.errors import BadCall
from core.model import CORRELATION_ID, Job, Model, Statement, check_id, now
from core.pod.tasks import TASKS, Desk
from core.settings import Settings

_log = structlog.get_logger()


class Message(Model):
    """A task as Celery's protocol 2 sends it: its headers, and [args, kwargs, embed] as JSON."""

    queue: str
    headers: Mapping[str, Any]
    body: str

    @property
    def id(self) -> str:
        return str(self.headers.get("id", ""))

    @property
    def task(self) -> str:
        return str(self.headers.get("task", "")) or "no task"


class Parked(Model):
    """`parked/<id>.json`: a message that we can't act on, kept for a person."""

    reason: str
    parked_at: datetime
    message: Message


def take(message: Message, settings: Settings) -> bool:
    """Store what a message asks for, durably, so that it may be acknowledged. Doing it again is safe.

    Returns False when it was parked.

    Raises:
        Transient: not now; the message must not be acknowledged.
    """
    log = _log.bind(task=message.task.rpartition(".")[2], task_id=message.id, queue=message.queue)
    if (expires := _moment(message, "expires")) and expires < now():
        log.warning("message dropped: it has expired", expired_at=expires.isoformat())
        return True
    try:
        wanted = _read(message, settings)
        if isinstance(wanted, Job):
            eta = _moment(message, "eta")
            jobs.send(wanted, settings, delay=max((eta - now()).total_seconds(), 0.0) if eta else 0.0)
            log.info("job taken", job=wanted.id)
        else:
            # Sent at once whatever its ETA: it has its own time stamp.
            statements.submit_statements([statements.identified(wanted, seed=message.id)], settings=settings)
            log.debug("statement taken")
    except BadCall as error:
        _park(message, str(error), settings)
        return False
    return True


def _read(message: Message, settings: Settings) -> Job | Statement:
    """Return what a message asks for.

    Raises:
        BadCall: we can't tell, or it may not.
    """
    task = TASKS.get(message.task)
    if task is None:
        raise BadCall(f"no task {message.task!r} is known", remedy=f"known are {', '.join(TASKS)}")
    try:
        args, kwargs, _embed = json.loads(message.body)
        desk = Desk(_job_id(message.id), settings.media_roots)
        wanted = task(**inspect.signature(task).bind(desk, *args, **kwargs).arguments)
        if isinstance(wanted, Job) and CORRELATION_ID.fullmatch(message.id):
            return wanted.model_copy(update={"correlation_id": message.id})
        return wanted
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise BadCall(f"arguments of {message.task}: {'; '.join(wrong)}") from error
    except (TypeError, ValueError) as error:
        if isinstance(error, BadCall):
            raise
        raise BadCall(f"not a message of Celery's protocol 2: {error}") from error


def _job_id(task: str) -> str:
    """Return the job that a task becomes: named after it, so that it is found under the name that Pod's logs have."""
    with suppress(ValueError):
        return check_id(f"pod-{task}")
    return pipeline.id_for_key(task)


def _moment(message: Message, header: str) -> datetime | None:
    value = message.headers.get(header)
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# Parking


def _folder(settings: Settings) -> Path:
    return settings.jobs_root / "parked"


def _park(message: Message, reason: str, settings: Settings) -> None:
    _log.error("message parked", task=message.task, task_id=message.id, queue=message.queue, reason=reason)
    name = re.sub(r"[^A-Za-z0-9_-]", "_", message.id or pipeline.new_id())[:100]
    folder = _folder(settings)
    with storage.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        parked = Parked(reason=reason, parked_at=now(), message=message)
        storage.write_replacing(folder / f"{name}.json", parked.to_json())


def parked(settings: Settings) -> Iterator[tuple[Path, Parked]]:
    """Yield the messages that wait for a person."""
    for path in sorted(_folder(settings).glob("*.json")):
        yield path, Parked.model_validate_json(path.read_bytes())


def take_parked(settings: Settings) -> int:
    """Try the parked messages again. Returns how many were taken."""
    taken = 0
    for path, one in list(parked(settings)):
        if take(one.message, settings):
            path.unlink()
            taken += 1
    return taken
