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
    reason = ""
    try:
        with lease.hold(desk.redis, errand.name, desk.host.settings.lease_seconds):
            record, wait = messenger.attempt(desk.host.settings, folder, delivery, contracts)
        reason = record.answer
        _show(desk, folder, record)
    except LeaseHeld as busy:
        wait, reason = busy.seconds_left + 0.1, str(busy)
    except (FileNotFoundError, UnknownJob):
        if folder.path.exists():
            # A network file system shows it late.
            wait, reason = desk.host.settings.callback_retry_seconds, "its record can't be seen from here yet"
        else:
            _log.error("message dropped: its job's folder is gone")
            wait = None
    except Exception as error:  # noqa: BLE001  # an ack now would lose the delivery
        _log.exception("unexpected fault", reason=str(error))
        wait, reason = desk.host.settings.callback_retry_seconds, f"{type(error).__name__}: {error}"
    if wait is not None:
        send(desk, errand, wait, reason)


def _show(desk: Desk, folder: JobFolder, record: Delivery) -> None:
    """List what a portal has not taken yet, for `amphipod jobs`; the files know it too."""
    with suppress(redis.RedisError):
        if record.state in ("due", "given_up"):
            about = record.model_dump(include={"state", "tries", "answer"}) | {"kind": record.callback.kind}
            live.set_untold(desk.redis, folder.id, record.id, about)
        else:
            live.clear_untold(desk.redis, folder.id, record.id)
