"""Each worker process says in Redis who it is and what it does."""

from __future__ import annotations

import os
import threading
from importlib.metadata import version
from typing import Any

import dramatiq
import structlog
from dramatiq import MessageProxy, Worker
from dramatiq.middleware import Middleware
from redis import RedisError

from core.hookspecs import NAME
from core.model import now
from core.queue import names, workers
from core.queue.broker import Broker
from core.redis import connection
from core.redis.shared_root import RootWatch
from core.settings import Settings
from core.storage import files

_log = structlog.get_logger()


class Registry(Middleware):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = connection.client(settings)
        self._lock = threading.Lock()
        self._jobs: dict[str, dict[str, str]] = {}
        self._about: dict[str, Any] = {}
        self._ended = threading.Event()
        self._root: RootWatch | None = None
        self._beacon: str | None = None

    def after_worker_boot(self, broker: dramatiq.Broker, worker: Worker) -> None:
        assert isinstance(broker, Broker)
        host = files.host_name()
        self._about = {
            "id": f"{host}.{os.getpid()}",
            "host": host,
            "pid": os.getpid(),
            "queues": sorted({names.bare(queue) for queue in worker.consumers}),
            "threads": worker.worker_threads,
            # Processes that share a folder of locks share its slots.
            "gate": f"{host}:{self._settings.run_dir}",
            "slots": self._settings.slots,
            "version": version(NAME),
            "started_at": now().isoformat(),
        }
        self._root = broker.root
        threading.Thread(target=self._beat_on, name="registry", daemon=True).start()

    def _leave_beacon(self) -> str | None:
        try:
            return workers.leave_beacon(self._settings.jobs_root, self._about["host"])
        except OSError as error:
            _log.debug("no beacon left", reason=str(error))
            return None

    def before_process_message(self, _broker: dramatiq.Broker, message: MessageProxy) -> None:
        job = {
            "job": names.job_of(message) or "",
            "step": message.actor_name,
            "queue": names.bare(message.queue_name),
            "since": now().isoformat(),
            "part": str(message.kwargs.get("part", "")),
        }
        with self._lock:
            self._jobs[message.message_id] = job
        self._beat()

    def after_process_message(
        self,
        _broker: dramatiq.Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        with self._lock:
            self._jobs.pop(message.message_id, None)
        self._beat()

    def after_worker_shutdown(self, _broker: dramatiq.Broker, _worker: Worker) -> None:
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
        if self._beacon is None and self._root and (self._root.is_open() or not self._root.fault):
            self._beacon = self._leave_beacon()
        found = {"beacon": self._beacon, "fault": self._root.fault if self._root else ""}
        with self._lock:
            about = self._about | found | {"jobs": list(self._jobs.values())}
        try:
            workers.beat(self._client, about)
        except RedisError:
            _log.debug("no sign of life: Redis does not answer")
