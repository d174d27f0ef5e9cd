"""Every log line names the message, the job and the step that it is about."""

from __future__ import annotations

from typing import Any

import structlog
from dramatiq import Broker, MessageProxy
from dramatiq.middleware import Middleware

from core import queues


class LogContext(Middleware):
    def before_process_message(self, _broker: Broker, message: MessageProxy) -> None:
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(
            message_id=message.message_id, step=message.actor_name, job=queues.job_of(message)
        )

    def after_process_message(
        self, _broker: Broker, _message: MessageProxy, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        structlog.contextvars.clear_contextvars()

    def after_skip_message(self, _broker: Broker, _message: MessageProxy) -> None:
        structlog.contextvars.clear_contextvars()
