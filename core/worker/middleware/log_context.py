"""Every log line names the job, the step and the submitter's correlation id that it is about."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import structlog
from dramatiq import Broker, MessageProxy
from dramatiq.middleware import Middleware

from core.errors import UnknownJob
from core.pipeline import step_log
from core.queue import names
from core.settings import Settings
from core.storage.deliveries import DELIVER
from core.storage.job_folder import JobFolder


class LogContext(Middleware):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def before_process_message(self, _broker: Broker, message: MessageProxy) -> None:
        structlog.contextvars.clear_contextvars()
        step_log.waited.set(_waited(message))
        job = names.job_of(message)
        if job is None:
            structlog.contextvars.bind_contextvars(step=message.actor_name, message_id=message.message_id)
            return
        structlog.contextvars.bind_contextvars(job=job, step=message.actor_name)
        part = message.kwargs.get("part")
        if part and message.actor_name != DELIVER:  # whose lines name their delivery
            structlog.contextvars.bind_contextvars(part=part)
        with suppress(UnknownJob, OSError, ValueError):
            correlation = JobFolder(self._settings.jobs_root, job).job().correlation
            structlog.contextvars.bind_contextvars(correlation_id=correlation)

    def after_process_message(
        self, _broker: Broker, _message: MessageProxy, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        structlog.contextvars.clear_contextvars()

    def after_skip_message(self, _broker: Broker, _message: MessageProxy) -> None:
        structlog.contextvars.clear_contextvars()


def _waited(message: MessageProxy) -> float:
    """Return the seconds since a message could have been taken, by the hosts' clocks."""
    since: int = max(message.message_timestamp, message.options.get("eta", 0))
    return max(time.time() - since / 1000, 0.0)
