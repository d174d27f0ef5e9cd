"""What `dramatiq core.actors` loads: an actor a step. The work itself is in core/worker/step.py."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import cache
from typing import Any

import dramatiq
from dramatiq.middleware import CurrentMessage

from core import settings
from core.errors import AmphipodError, BadCall
from core.pipeline.planning import Host
from core.plugin_host import installation
from core.plugin_host.manager import Manager
from core.pod import callback_kinds
from core.queue import broker, names
from core.redis import connection
from core.statements import router
from core.storage.manifest import FINISH
from core.worker import callback, middleware, step
from core.worker.middleware.shutdown import Shutdown


def _connect() -> broker.Broker:
    installation.check()
    loaded = settings.load()
    return broker.connect(loaded, middleware.build(loaded))


try:
    BROKER = _connect()
except AmphipodError as fault:
    sys.stderr.write(f"amphipod: {fault}\n")
    sys.exit(fault.exit_code)

dramatiq.set_broker(BROKER)
for _queue in names.expand(names.QUEUES.values()):
    BROKER.declare_queue(_queue)


_DESTINATIONS = callback.Destinations()


@cache
def _worker() -> step.WorkerContext:
    loaded = settings.load()
    shutdown = next(one for one in BROKER.middleware if isinstance(one, Shutdown))
    return step.WorkerContext(Host(loaded, Manager(loaded)), BROKER, connection.client(loaded), shutdown)


@dramatiq.actor(queue_name=names.QUEUES["compose"], max_retries=None)
def compose(job: str, part: str = "", tries: int = 0) -> None:
    step.serve(_worker(), "compose", job, part, tries)


@dramatiq.actor(queue_name=names.QUEUES["encode"], max_retries=None)
def encode(job: str, part: str = "", tries: int = 0) -> None:
    step.serve(_worker(), "encode", job, part, tries)


@dramatiq.actor(queue_name=names.QUEUES["transcribe"], max_retries=None)
def transcribe(job: str, part: str = "", tries: int = 0) -> None:
    step.serve(_worker(), "transcribe", job, part, tries)


@dramatiq.actor(queue_name=names.QUEUES["emit"], max_retries=None)
def emit(job: str, part: str = "", tries: int = 0) -> None:
    step.serve(_worker(), "emit", job, part, tries)


@dramatiq.actor(queue_name=names.QUEUES["emit"], max_retries=None, throws=(BadCall,))
def emit_statement(statement: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Take statements from a portal that sends Dramatiq messages; `core.submit_statements` also keeps their order."""
    message = CurrentMessage.get_current_message()
    assert message
    sent_at = datetime.fromtimestamp(message.message_timestamp / 1000, UTC)
    given = statement if isinstance(statement, list) else [statement]
    router.take(given, _worker().host.settings, seed=message.message_id, at=sent_at)


@dramatiq.actor(queue_name=names.QUEUES[FINISH], max_retries=None)
def finish(job: str, part: str = "", tries: int = 0) -> None:
    step.serve(_worker(), FINISH, job, part, tries)


@dramatiq.actor(queue_name=names.DELIVERIES, max_retries=None, priority=1)  # after what publishes
def deliver(job: str, part: str, tries: int = 0) -> None:
    callback.serve(_worker(), job, part, tries, callback_kinds.CONTRACTS, _DESTINATIONS)
