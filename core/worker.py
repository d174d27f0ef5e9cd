"""One message's worth of work: take the lease, run the step, send what comes next. Dramatiq-free but for sending."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import redis
import structlog

from core import lease, live, manifest, pipeline, queues, storage
from core.broker import Broker
from core.errors import Cancelled, Transient, UnknownJob
from core.lease import Lease, LeaseHeld
from core.manifest import FINISH
from core.middleware.shutdown import HandBack, Shutdown
from core.model import State, Step
from core.pipeline import Host
from core.storage import JobFolder

#: Seconds between two questions to Redis whether a running job was cancelled.
_ASK_EVERY = 0.5

#: Longest delay, in seconds, of a step that meets a passing fault again and again.
_LONGEST_DELAY = 600.0

#: Times that a job's folder is looked for: a network file system may show it seconds after the message came.
_LOOKS_FOR_FOLDER = 8

_log = structlog.get_logger()


@dataclass(frozen=True)
class Desk:
    """What a worker process works with."""

    host: Host
    broker: Broker
    redis: redis.Redis
    shutdown: Shutdown


def serve(desk: Desk, step: str, job: str, tries: int) -> None:
    """Have `step` of a job done and the next one sent, or put this message back for later.

    Idempotent: a step that is done is not done again, but what comes next is sent all the same. Returns only when
    Redis has taken what must be sent, so that the message may be acknowledged.
    """
    folder = JobFolder(desk.host.settings.jobs_root, job)
    try:
        with lease.hold(desk.redis, f"{job}.{step}", desk.host.settings.lease_seconds) as held:
            _work(desk, folder, step, held)
    except LeaseHeld as busy:
        _again(desk, folder, step, tries, busy.seconds_left + 0.1)
    except HandBack:
        _log.info("handed back: the worker stops")
        _again(desk, folder, step, tries, 0)
    except UnknownJob as error:
        if tries >= _LOOKS_FOR_FOLDER:
            _log.error("message dropped", reason=str(error))
        else:
            _again(desk, folder, step, tries + 1, _delay(desk, tries))
    except Transient as error:
        _retry(desk, folder, step, tries, error)
    except Cancelled:
        _send_next(desk, folder)
    except Exception as error:  # noqa: BLE001  # an ack now would lose the job; its reason is kept and it is tried again
        _log.exception("unexpected fault")
        _retry(desk, folder, step, tries, Transient(f"{type(error).__name__}: {error}"))
    else:
        _send_next(desk, folder)


def _work(desk: Desk, folder: JobFolder, step: str, held: Lease) -> None:
    if step == FINISH:
        result = pipeline.finish(desk.host, folder, lock=_output_lock(desk))
        _tell(desk, folder, result.state, result.reason)
    elif pipeline.next_step(folder) == step:
        _tell(desk, folder, State.RUNNING)
        pipeline.run_step(
            desk.host,
            folder,
            cast("Step", step),
            on_progress=live.reporter(desk.redis, folder.id, step, storage.host_name()),
            watch=_watch(desk, folder, held),
            before_commit=held.confirm,
        )


def _watch(desk: Desk, folder: JobFolder, held: Lease) -> Callable[[], None]:
    run = folder.run()
    asked = 0.0

    def watch() -> None:
        nonlocal asked
        desk.shutdown.check()
        held.check()
        if time.monotonic() - asked >= _ASK_EVERY:
            asked = time.monotonic()
            with suppress(redis.RedisError):
                if live.is_cancelled(desk.redis, folder.id, run):
                    raise Cancelled

    return watch


def _output_lock(desk: Desk) -> Callable[[Path], contextlib.AbstractContextManager[None]]:
    @contextlib.contextmanager
    def lock(output: Path) -> Iterator[None]:
        digest = hashlib.sha256(os.fsencode(output.resolve())).hexdigest()[:32]
        with lease.hold(desk.redis, f"output.{digest}", desk.host.settings.lease_seconds):
            yield

    return lock


def _tell(desk: Desk, folder: JobFolder, state: State, reason: str | None = None) -> None:
    with suppress(redis.RedisError):  # the files say it too
        live.set_state(desk.redis, folder.id, state, reason)


# Sending


def _retry(desk: Desk, folder: JobFolder, step: str, tries: int, error: Transient) -> None:
    if tries < desk.host.settings.step_retries:
        _log.warning("to be tried again", reason=str(error), tries=tries + 1)
        _again(desk, folder, step, tries + 1, _delay(desk, tries))
        return
    result = pipeline.give_up(desk.host, folder, step, error)
    if step == FINISH:
        _tell(desk, folder, result.state, result.reason)
    _send_next(desk, folder)


def _delay(desk: Desk, tries: int) -> float:
    return min(desk.host.settings.retry_seconds * 2.0**tries, _LONGEST_DELAY)


def _send_next(desk: Desk, folder: JobFolder) -> None:
    following = pipeline.next_step(folder)
    if following:
        _send(desk, folder, following, 0, 0)


def _again(desk: Desk, folder: JobFolder, step: str, tries: int, delay: float) -> None:
    if manifest.result(folder, step, folder.run()) and delay:
        delay = min(delay, 1.0)  # done by another: only what comes next is left to send
    _send(desk, folder, step, tries, delay)


def _send(desk: Desk, folder: JobFolder, step: str, tries: int, delay: float) -> None:
    """Enqueue, however long Redis is away: until it has answered, this worker's own message is not acknowledged."""
    try:
        priority = folder.job().priority
    except UnknownJob:
        priority = "normal"
    message = queues.message(step, folder.id, priority, tries=tries)
    while True:
        try:
            desk.broker.enqueue(message, delay=round(delay * 1000) if delay else None)
        except redis.RedisError as error:
            _log.warning("not sent yet", to=message.queue_name, reason=str(error))
            time.sleep(1)
        else:
            return
