"""One message of Esup-Pod's, whatever brought it: read, then done, or parked with the reason."""

from __future__ import annotations

import inspect
import json
from contextlib import suppress
from datetime import UTC, datetime

import structlog
from pydantic import ValidationError

from core import jobs, validation_messages
from core.errors import AmphipodError, BadCall, OutOfReach, Permanent
from core.model import CORRELATION_ID, Job, Statement, check_id, now
from core.pipeline import lifecycle
from core.pod.celery_tasks import TASKS, Desk
from core.pod.parking import Message, park, parked
from core.settings import Settings
from core.statements import submit

_log = structlog.get_logger()


def take(message: Message, settings: Settings) -> bool:
    """Store what a message asks for, durably, so that it may be acknowledged. Doing it again is safe.

    Returns False when it was parked, because it will never do.

    Raises:
        Exception: not now, or not as far as we can tell; the message must not be acknowledged.
    """
    try:
        _take(message, settings)
    except (Permanent, TypeError, ValueError, RecursionError) as error:
        park(message, reason_of(error), settings)
        return False
    return True


def take_parked(settings: Settings) -> int:
    """Try the parked messages again. Returns how many were taken; the others stay, with their newest reason.

    Raises:
        OutOfReach: Redis does not answer.
    """
    taken = 0
    for path, one in list(parked(settings)):
        try:
            _take(one.message, settings)
        except OutOfReach:
            raise
        except Exception as error:  # noqa: BLE001  # it must not keep us from the others
            park(one.message, reason_of(error), settings, path=path)
        else:
            path.unlink(missing_ok=True)
            taken += 1
    return taken


def reason_of(error: Exception) -> str:
    """Return why a message was not taken, for a person."""
    return str(error) if isinstance(error, AmphipodError) else f"{type(error).__name__}: {error}"


def _take(message: Message, settings: Settings) -> None:
    log = _log.bind(task=message.task.rpartition(".")[2], task_id=message.id, queue=message.queue)
    if message.fault:
        raise BadCall(f"not a message ({message.fault})")
    if (expires := _moment(message, "expires")) and expires < now():
        log.warning("message dropped: it has expired", expired_at=expires.isoformat())
        return
    wanted = _read(message, settings)
    if isinstance(wanted, Job):
        eta = _moment(message, "eta")
        jobs.send(wanted, settings, delay=max((eta - now()).total_seconds(), 0.0) if eta else 0.0)
        log.info("job taken", job=wanted.id)
    else:
        # Sent at once whatever its ETA: it has its own time stamp.
        submit.submit_statements([submit.identified(wanted, seed=message.id)], settings=settings)
        log.debug("statement taken")


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
        raise BadCall(f"arguments of {message.task}: {validation_messages.told(error)}") from error
    except (TypeError, ValueError) as error:
        if isinstance(error, BadCall):
            raise
        raise BadCall(f"not a message of Celery's protocol 2: {error}") from error


def _job_id(task: str) -> str:
    """Return the job that a task becomes: named after it, so that it is found under the name that Pod's logs have."""
    with suppress(ValueError):
        return check_id(f"pod-{task}")
    return lifecycle.id_for_key(task)


def _moment(message: Message, header: str) -> datetime | None:
    value = message.headers.get(header)
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
