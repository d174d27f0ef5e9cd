"""What happens around every message, one concern a file, in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dramatiq.middleware import CurrentMessage, Retries

from core.worker.middleware.log_context import LogContext
from core.worker.middleware.recovery import Recovery
from core.worker.middleware.redis_check import RedisCheck
from core.worker.middleware.registry import Registry
from core.worker.middleware.shutdown import Shutdown
from core.worker.middleware.statement_relay import StatementFlusher
from core.worker.middleware.sweeper import Sweeper
from core.worker.middleware.worker_setup import WorkerSetup

if TYPE_CHECKING:
    from collections.abc import Collection

    from dramatiq.middleware import Middleware
    from pydantic import BaseModel

    from core.settings import Settings


def build(settings: Settings, own: Collection[BaseModel] = ()) -> list[Middleware]:
    """Return the middleware of a worker; `own` are plugins' settings, whose secrets are not logged.

    Log context comes first, because Dramatiq runs "after" hooks in reverse: a retry's log line still has its ids.
    Dramatiq's time limit is left out: it can't interrupt C code, core/process/supervisor.py can.
    """
    return [
        LogContext(settings),
        WorkerSetup(settings, own),
        Registry(settings),
        RedisCheck(settings),
        Recovery(settings),
        Shutdown(),
        StatementFlusher(settings),
        Sweeper(settings),
        CurrentMessage(),
        Retries(),
    ]
