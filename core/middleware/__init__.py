"""What happens around every message, one concern a file, in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dramatiq.middleware import CurrentMessage, Retries

from core.middleware.log_context import LogContext
from core.middleware.recovery import Recovery
from core.middleware.redis_check import RedisCheck
from core.middleware.registry import Registry
from core.middleware.shutdown import Shutdown
from core.middleware.statement_flusher import StatementFlusher
from core.middleware.sweeper import Sweeper
from core.middleware.worker_setup import WorkerSetup

if TYPE_CHECKING:
    from dramatiq.middleware import Middleware

    from core.settings import Settings


def build(settings: Settings) -> list[Middleware]:
    """Return the middleware of a worker.

    Log context comes first, because Dramatiq runs "after" hooks in reverse: a retry's log line still has its ids.
    Dramatiq's time limit is left out: it can't interrupt C code, core/runner.py can.
    """
    return [
        LogContext(settings),
        WorkerSetup(settings),
        Registry(settings),
        RedisCheck(settings),
        Recovery(settings),
        Shutdown(),
        StatementFlusher(settings),
        Sweeper(settings),
        CurrentMessage(),
        Retries(),
    ]
