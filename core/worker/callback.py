"""One message's worth of telling a portal: take the lease, make a try, put the message back until it is settled."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit

import redis
import structlog
from dramatiq.errors import ConnectionClosed

from core import backoff
from core.callbacks import delivery
from core.callbacks.delivery import Contract
from core.errors import UnknownJob
from core.pipeline.task import CallbackTask
from core.queue import job_row, job_rows, lease, names, status
from core.queue.lease import LeaseHeld
from core.settings import Settings
from core.storage import deliveries
from core.storage.deliveries import Delivery
from core.storage.job_folder import JobFolder
from core.worker.context import WorkerContext, WorkItem, send
from core.worker.step import LOOKS_FOR_FOLDER, elsewhere

#: Seconds until a delivery is tried whose receiver keeps as many threads busy as it may.
_BUSY_WAIT = 5.0

_log = structlog.get_logger()


class Destinations:
    """How many deliveries of this process are under way to whom: one that hangs may not hold all of their threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()

    @contextmanager
    def enter(self, name: str, limit: int) -> Iterator[bool]:
        """Give, for the block, whether there is room for one more to `name`."""
        with self._lock:
            room = self._busy[name] < limit
            self._busy[name] += room
        try:
            yield room
        finally:
            with self._lock:
                self._busy[name] -= room


def serve(
    worker: WorkerContext,
    job: str,
    delivery: str,
    tries: int,
    contracts: Mapping[str, Contract],
    destinations: Destinations,
) -> None:
    """Try a delivery. Returns only when Redis has the message for the next try, if there is to be one."""
    folder = JobFolder(worker.host.settings.jobs_root, job)
    item = WorkItem(folder, CallbackTask(delivery), names.CALLBACKS, tries)
    if not worker.broker.root.is_open():
        elsewhere(worker, item, worker.broker.root.fault)
        return
    wait: float | None
    try:
        receiver = _receiver(worker.host.settings, folder, delivery)
        with destinations.enter(receiver, worker.broker.threads_for_destination) as room:
            wait, reason = _try(worker, item, contracts) if room else (_BUSY_WAIT, f"{receiver} is slow to answer")
    except LeaseHeld as busy:
        wait, reason = busy.seconds_left + 0.1, str(busy)
    except (redis.RedisError, ConnectionClosed) as error:
        wait, reason = worker.host.settings.callback_retry_seconds, str(error)
    except (OSError, UnknownJob) as error:
        if not worker.broker.root.is_open(now=True):
            elsewhere(worker, item, worker.broker.root.fault or str(error))
            return
        if isinstance(error, UnknownJob) and tries >= LOOKS_FOR_FOLDER:
            _log.error("portal not told: its job's record is gone", reason=str(error))
            return
        # A network file system shows it late.
        item = replace(item, tries=tries + 1)
        wait, reason = _delay(worker.host.settings, tries), f"its record can't be seen from here yet ({error})"
    except Exception as error:  # noqa: BLE001  # an ack now would lose the delivery
        _log.exception("unexpected fault", reason=str(error))
        item = replace(item, tries=tries + 1)
        wait, reason = _delay(worker.host.settings, tries), f"{type(error).__name__}: {error}"
    if wait is not None:
        send(worker, item, wait, reason)


def _try(worker: WorkerContext, item: WorkItem, contracts: Mapping[str, Contract]) -> tuple[float | None, str]:
    """Make one try. Returns the seconds until the next one, None when there is to be none, and the answer."""
    with lease.hold(worker.redis, item.name, worker.host.settings.lease_seconds):
        record, wait = delivery.attempt(worker.host.settings, item.folder, item.task.part, contracts)
    _show(worker, item.folder, record)
    return wait, record.answer


def _receiver(settings: Settings, folder: JobFolder, delivery: str) -> str:
    """Return the host that is told; Esup-Pod's addresses are relative to its API's."""
    folder.job()
    url = deliveries.read(folder, delivery).callback.url
    return urlsplit(url).netloc or urlsplit(settings.pod_api_url or "").netloc


def _delay(settings: Settings, tries: int) -> float:
    return backoff.pause(tries + 1, first=settings.callback_retry_seconds, longest=settings.callback_longest_delay)


def _show(worker: WorkerContext, folder: JobFolder, record: Delivery) -> None:
    """List what a portal has not taken yet, for `amphipod jobs`; the files know it too."""
    with suppress(redis.RedisError):
        if record.state in ("due", "given_up"):
            about = record.model_dump(include={"state", "tries", "answer"}) | {"kind": record.callback.kind}
            status.set_untold(worker.redis, folder.id, record.id, about)
        else:
            status.clear_untold(worker.redis, folder.id, record.id)
        with suppress(UnknownJob, OSError):
            job_rows.write(worker.redis, [job_row.row_of(folder)])
