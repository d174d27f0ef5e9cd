"""One message's worth of telling a portal: take the lease, make a try, put the message back until it is settled."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import redis
import structlog

from core import lease, live, messenger
from core.callbacks import DELIVER, Delivery
from core.errors import UnknownJob
from core.lease import LeaseHeld
from core.messenger import Contract
from core.storage import JobFolder
from core.worker import Desk, Errand, send

_log = structlog.get_logger()


def serve(desk: Desk, job: str, delivery: str, contracts: Mapping[str, Contract]) -> None:
    """Try a delivery. Returns only when Redis has the message for the next try, if there is to be one."""
    folder = JobFolder(desk.host.settings.jobs_root, job)
    errand = Errand(folder, DELIVER, delivery)
    wait: float | None
    try:
        with lease.hold(desk.redis, errand.name, desk.host.settings.lease_seconds):
            record, wait = messenger.attempt(desk.host.settings, folder, delivery, contracts)
        _show(desk, folder, record)
    except LeaseHeld as busy:
        wait = busy.seconds_left + 0.1
    except (FileNotFoundError, UnknownJob):
        if folder.path.exists():
            wait = desk.host.settings.callback_retry_seconds  # a network file system shows it late
        else:
            _log.error("message dropped: its job's folder is gone")
            wait = None
    except Exception:  # noqa: BLE001  # an ack now would lose the delivery
        _log.exception("unexpected fault")
        wait = desk.host.settings.callback_retry_seconds
    if wait is not None:
        send(desk, errand, wait)


def _show(desk: Desk, folder: JobFolder, record: Delivery) -> None:
    """List what a portal has not taken yet, for `amphipod jobs`; the files know it too."""
    with suppress(redis.RedisError):
        if record.state in ("due", "given_up"):
            about = record.model_dump(include={"state", "tries", "answer"}) | {"kind": record.callback.kind}
            live.set_untold(desk.redis, folder.id, record.id, about)
        else:
            live.clear_untold(desk.redis, folder.id, record.id)
