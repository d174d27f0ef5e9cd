"""A worker of the queue `callbacks` frees the disk now and then; a lease leaves it to one of them."""

from __future__ import annotations

import threading
from functools import partial

import structlog
from dramatiq import Broker, Worker
from dramatiq.middleware import Middleware
from redis import RedisError

from core.errors import AmphipodError
from core.job_index import rebuild
from core.queue import lease, names
from core.redis import connection, shared_root
from core.retention import sweep
from core.settings import Settings

#: Of the pause between two rounds, the part after which a worker looks whether one is due.
_LOOK_AFTER = 0.25

_log = structlog.get_logger()


class Sweeper(Middleware):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()

    def after_worker_boot(self, _broker: Broker, worker: Worker) -> None:
        if self._settings.sweep_seconds and names.CALLBACKS in {names.bare(queue) for queue in worker.consumers}:
            threading.Thread(target=self._serve, name="sweeper", daemon=True).start()

    def before_worker_shutdown(self, _broker: Broker, _worker: Worker) -> None:
        self._stopping.set()

    def _serve(self) -> None:
        while not self._stopping.wait(self._settings.sweep_seconds * _LOOK_AFTER):
            try:
                with (
                    connection.opened(self._settings) as client,
                    lease.hold(client, "sweep", self._settings.lease_seconds),
                ):
                    if (
                        shared_root.examine(client, self._settings.jobs_root) == ""
                    ):  # else it isn't the service's folder
                        root = self._settings.jobs_root
                        sweep.next_round(self._settings, partial(rebuild.note_swept, client, root))
            except lease.LeaseHeld:
                continue
            except (AmphipodError, OSError, RedisError) as error:
                _log.warning("disk not swept", reason=str(error))
