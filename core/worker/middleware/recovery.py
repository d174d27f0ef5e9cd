"""One worker of `callbacks` looks every few minutes for unfinished jobs that are on no queue, and puts them back."""

from __future__ import annotations

import threading

import dramatiq
import structlog
from dramatiq.middleware import Middleware
from redis import RedisError

from core.errors import AmphipodError
from core.jobs.recovery import Recheck
from core.queue import names
from core.queue.broker import Broker
from core.redis import connection
from core.settings import Settings

_log = structlog.get_logger()


class Recovery(Middleware):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def after_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        assert isinstance(broker, Broker)
        if names.CALLBACKS in {names.bare(queue) for queue in worker.consumers}:
            self._thread = threading.Thread(target=self._serve, args=(broker,), name="recovery", daemon=True)
            self._thread.start()

    def before_worker_shutdown(self, _broker: dramatiq.Broker, _worker: dramatiq.Worker) -> None:
        self._stopping.set()

    def _serve(self, broker: Broker) -> None:
        client = connection.client(self._settings)
        recheck = Recheck(client, self._settings)
        while not self._stopping.wait(self._settings.recheck_seconds):
            if not broker.root.is_open():
                continue
            try:
                for job in recheck.once():
                    _log.warning("job was unfinished and on no queue: put back", job=job)
            except RedisError as error:
                _log.warning("no look for lost jobs", reason=str(connection.refusal(error, self._settings.broker_url)))
            except (AmphipodError, OSError) as error:
                _log.warning("no look for lost jobs", reason=str(error))
            except Exception:  # noqa: BLE001  # a thread that ends would look no more
                _log.exception("unexpected fault, to be tried again")
