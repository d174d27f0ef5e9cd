"""Makes a worker process ours, however it was started: our logs, all priorities of its queues, its thread count."""

from __future__ import annotations

import multiprocessing
from collections.abc import Collection

import dramatiq
from dramatiq.middleware import Middleware
from pydantic import BaseModel

from core import logs
from core.process import parent
from core.queue import names
from core.queue.broker import Broker
from core.settings import Settings


class WorkerSetup(Middleware):
    def __init__(self, settings: Settings, own: Collection[BaseModel]) -> None:
        self._settings, self._own = settings, own

    def after_process_boot(self, _broker: dramatiq.Broker) -> None:
        if (first := multiprocessing.parent_process()) and first.pid:
            parent.follow(first.pid)
        logs.configure(self._settings, own=self._own)

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        assert isinstance(broker, Broker)
        broker.worker_threads = worker.worker_threads
        if worker.consumer_whitelist:
            worker.consumer_whitelist = names.expand(worker.consumer_whitelist)
