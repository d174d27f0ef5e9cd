"""The threads that carry statements from the intake to the stores, as long as a worker of `xapi` lives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog
from redis import RedisError

from core.errors import AmphipodError
from core.pipeline import planning
from core.plugin_host.manager import Manager
from core.queue import lease
from core.redis import connection
from core.settings import Settings
from core.statements import dead_letters, submit
from core.statements.outbox import PARTITIONS
from core.statements.router import Route, pass_on
from core.statements.sender import Partition, Store

#: Seconds between two looks at an empty intake: one question to Redis for all partitions.
_LOOK_EVERY = 0.05

#: Seconds between two looks at what waits on disk without Redis' knowing.
_REMEMBER_EVERY = 10.0

#: Seconds between two looks for dead statements that are too old.
_EXPIRE_EVERY = 3600.0

#: Seconds for each of the first statements that a process prepares.
_FIRST_LIMIT = 60.0

#: Seconds that all requests in flight get to end when the worker stops; if they don't, their statements stay.
_GRACE = 10.0

_log = structlog.get_logger()


class Flusher:
    """A thread for the intake, and one for each partition of each store."""

    def __init__(self, settings: Settings, manager: Manager) -> None:
        self._settings = settings
        self._manager = manager
        self._stopping = threading.Event()
        client = connection.client(settings)
        self._intake = submit.outbox(client, submit.INTAKE, settings)
        self._routes = [
            Route(destination, submit.outbox(client, destination.name, settings))
            for destination in manager.statement_destinations()
        ]
        self._threads: list[threading.Thread] = []
        self._remembers_at = 0.0
        self._expires_at = 0.0
        self._warm = False
        #: Notified when the intake of this process has put something; other processes' are found by looking.
        self._put = threading.Condition()

    def start(self) -> None:
        if not self._routes:
            _log.error("statements wait: this worker knows no record store", reason=self._obstacle())
            return
        self._run("intake", self._serve_intake)
        for route in self._routes:
            store = Store(route, self._manager, self._settings)
            for name in PARTITIONS:
                self._run(f"{route.destination.name}.{name}", Partition(store, name).serve)

    def _obstacle(self) -> str:
        """Return why there is no store: its plugin can't work here, or none is set."""
        try:
            planning.choose(self._manager, "emit")
        except AmphipodError as error:
            return str(error)
        return "none is set: set AMPHIPOD_XAPI_LRS_URL"

    def stop(self) -> None:
        self._stopping.set()
        until = time.monotonic() + _GRACE
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0.0))

    def _run(self, name: str, serve: Callable[[], float]) -> None:
        thread = threading.Thread(target=self._loop, args=(name, serve), name=f"statements {name}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _loop(self, name: str, serve: Callable[[], float]) -> None:
        """Call `serve` until the worker stops, with the pauses that it answers."""
        while not self._stopping.is_set():
            try:
                pause = serve()
            except RedisError as error:
                _log.warning("Redis is waited for", reason=str(error))
                self._stopping.wait(1)
            except AmphipodError as error:
                _log.error("statements wait", partition=name, reason=str(error))
                self._stopping.wait(self._settings.retry_seconds)
            except Exception:  # noqa: BLE001  # a partition that ends would keep its statements for ever
                _log.exception("unexpected fault, to be tried again", partition=name)
                self._stopping.wait(self._settings.retry_seconds)
            else:
                if pause:
                    with self._put:
                        self._put.wait(pause)

    def _serve_intake(self) -> float:
        if time.monotonic() >= self._remembers_at:
            self._remember()
            self._remembers_at = time.monotonic() + _REMEMBER_EVERY
        return 0.0 if sum(map(self._pass_on, self._intake.occupied())) else _LOOK_EVERY

    def _remember(self) -> None:
        """Tell Redis, which may have lost its memory or not have been there, what there is."""
        for box in (self._intake, *(route.outbox for route in self._routes)):
            submit.remember_store(box.client, box.name)
            for partition in PARTITIONS:
                box.find_spooled(partition)
        if self._settings.xapi_dead_days and time.monotonic() >= self._expires_at:
            for box in (self._intake, *(route.outbox for route in self._routes)):
                dead_letters.expire(box, self._settings.xapi_dead_days)
            self._expires_at = time.monotonic() + _EXPIRE_EVERY

    def _pass_on(self, partition: str) -> bool:
        try:
            with lease.hold(self._intake.client, f"statements.intake.{partition}", self._settings.lease_seconds):
                busy = pass_on(self._manager, self._routes, self._intake, partition, self._now_settings())
        except lease.LeaseHeld:
            return False
        with self._put:
            self._put.notify_all()
        return busy

    def _now_settings(self) -> Settings:
        """Return the settings; the first statements of a process get more time, because plugins load what they need."""
        if self._warm:
            return self._settings
        self._warm = True
        longer = max(_FIRST_LIMIT, self._settings.xapi_preparation_limit)
        return self._settings.model_copy(update={"xapi_preparation_limit": longer})
