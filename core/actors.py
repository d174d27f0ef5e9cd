"""What `dramatiq core.actors` loads: an actor a step, the plugins' too. The work itself is in core/worker/step.py."""

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
from core.process import environment
from core.queue import broker, names
from core.redis import connection
from core.statements import router
from core.storage.job_state import FINISH
from core.worker import callback, middleware, step
from core.worker.context import WorkerContext
from core.worker.middleware.shutdown import Shutdown


def _start() -> tuple[Host, broker.Broker]:
    environment.seclude()
    installation.check()
    loaded = settings.load()
    host = Host(loaded, Manager(loaded))
    heavy = (queue for queue, is_heavy in host.manager.steps.queues().items() if is_heavy)
    return host, broker.connect(loaded, middleware.build(loaded, host.manager.own_settings.values()), heavy)


try:
    HOST, BROKER = _start()
except AmphipodError as fault:
    sys.stderr.write(f"amphipod: {fault}\n")
    sys.exit(fault.exit_code)

dramatiq.set_broker(BROKER)
for _queue in names.expand((*names.BUILT_IN, *HOST.manager.steps.queues())):
    BROKER.declare_queue(_queue)


_DESTINATIONS = callback.Destinations()
_CONTRACTS = callback_kinds.contracts(HOST.manager)


@cache
def _worker() -> WorkerContext:
    shutdown = next(one for one in BROKER.middleware if isinstance(one, Shutdown))
    return WorkerContext(HOST, BROKER, connection.client(HOST.settings), shutdown)


def _do_step(job: str, part: str = "", tries: int = 0) -> None:
    message = CurrentMessage.get_current_message()
    assert message
    step.serve(_worker(), message.actor_name, job, part, tries, names.bare(message.queue_name))


for _spec in HOST.manager.steps.specs.values():
    dramatiq.actor(actor_name=_spec.name, queue_name=_spec.queue, max_retries=None)(_do_step)

dramatiq.actor(actor_name=names.UNKNOWN_STEP, queue_name=names.CALLBACKS, max_retries=None)(_do_step)
dramatiq.actor(actor_name=FINISH, queue_name=names.CALLBACKS, max_retries=None)(_do_step)


@dramatiq.actor(actor_name=names.EMIT_STATEMENT, queue_name=names.STATEMENTS, max_retries=None, throws=(BadCall,))
def emit_statement(statement: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Take statements from a portal that sends Dramatiq messages; `core.submit_statements` also keeps their order."""
    message = CurrentMessage.get_current_message()
    assert message
    sent_at = datetime.fromtimestamp(message.message_timestamp / 1000, UTC)
    given = statement if isinstance(statement, list) else [statement]
    router.take(given, _worker().host.settings, seed=message.message_id, at=sent_at)


@dramatiq.actor(queue_name=names.DELIVERIES, max_retries=None, priority=1)  # after what publishes
def deliver(job: str, part: str, tries: int = 0) -> None:
    callback.serve(_worker(), job, part, tries, _CONTRACTS, _DESTINATIONS)
