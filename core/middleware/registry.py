"""Each worker process says in Redis who it is and what it does."""

from __future__ import annotations

import os
import threading
from importlib.metadata import version
from typing import Any

import structlog
from dramatiq import Broker, MessageProxy, Worker
from dramatiq.middleware import Middleware
from redis import RedisError

from core import connection, queues, storage, workers
from core.hookspecs import NAME
from core.model import now
from core.settings import Settings

_log = structlog.get_logger()


class Registry(Middleware):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = connection.client(settings)
        self._lock = threading.Lock()
        self._jobs: dict[str, dict[str, str]] = {}
        self._about: dict[str, Any] = {}
        self._ended = threading.Event()

    def after_worker_boot(self, _broker: Broker, worker: Worker) -> None:
        host = storage.host_name()
        self._about = {
            "id": f"{host}.{os.getpid()}",
            "host": host,
            "pid": os.getpid(),
            "queues": sorted({queues.bare(queue) for queue in worker.consumers}),
            "threads": worker.worker_threads,
            "version": version(NAME),
            "started_at": now().isoformat(),
            "beacon": workers.leave_beacon(self._settings.jobs_root, host),
        }
        threading.Thread(target=self._beat_on, name="registry", daemon=True).start()

    def before_process_message(self, _broker: Broker, message: MessageProxy) -> None:
        job = {"job": queues.job_of(message) or "", "step": message.actor_name, "since": now().isoformat()}
        job["part"] = str(message.kwargs.get("part", ""))
        with self._lock:
            self._jobs[message.message_id] = job
        self._beat()

    def after_process_message(
        self, _broker: Broker, message: MessageProxy, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        with self._lock:
            self._jobs.pop(message.message_id, None)
        self._beat()

    def after_worker_shutdown(self, _broker: Broker, _worker: Worker) -> None:
        self._ended.set()
        try:
            workers.strike_off(self._client, self._about["id"])
        except RedisError:
            _log.debug("worker not struck off: Redis does not answer")

    def _beat_on(self) -> None:
        while True:
            self._beat()
            if self._ended.wait(workers.BEAT_EVERY):
                return

    def _beat(self) -> None:
        if not self._about or self._ended.is_set():
            return
        with self._lock:
            about = self._about | {"jobs": list(self._jobs.values())}
        try:
            workers.beat(self._client, about)
        except RedisError:
            _log.debug("no sign of life: Redis does not answer")
