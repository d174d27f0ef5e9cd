"""A worker of the queue `xapi` carries statements to the record stores, beside its messages."""

from __future__ import annotations

from dramatiq import Broker, Worker
from dramatiq.middleware import Middleware

from core.plugin_host.manager import Manager
from core.queue import names
from core.settings import Settings
from core.statements.relay import Flusher


class StatementFlusher(Middleware):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._flusher: Flusher | None = None

    def after_worker_boot(self, _broker: Broker, worker: Worker) -> None:
        if names.STATEMENTS in {names.bare(queue) for queue in worker.consumers}:
            self._flusher = Flusher(self._settings, Manager(self._settings))
            self._flusher.start()

    def before_worker_shutdown(self, _broker: Broker, _worker: Worker) -> None:
        if self._flusher:
            self._flusher.stop()
