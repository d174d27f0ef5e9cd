"""What changes, told to all who listen: one reader a server, rows read and written once for everybody.

Of jobs that changed within half a second one event each is sent, `job` with the row, `removed` with the id. `service`
has the counts, queues and workers, when they have changed. A listener that can't keep up is told `missed`; `outage`
and `back` say that Redis went and came. Whoever shows a list then reads it anew.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import redis
import structlog
from starlette.concurrency import run_in_threadpool

from core.errors import AmphipodError
from core.job_index import JobRow, RowState
from core.queue import job_rows
from core.redis import connection
from core.settings import Settings

#: Seconds in which changes are collected.
TICK = 0.5

#: Seconds between two looks at what nobody tells: that a worker died, that a delay is over; and at counts and workers.
_LOOK_EVERY = 5.0
_SERVICE_EVERY = 2.0

#: Seconds between two comments that keep proxies from closing a quiet stream.
_HEARTBEAT = 15.0

#: Chunks that wait for one listener.
_WAITING = 32

#: Rows of one tick; of more, listeners read their list anew.
_MOST_ROWS = 500

#: States that a job may leave without a word.
UNSETTLED = (RowState.RUNNING, RowState.DELAYED)

_log = structlog.get_logger()


@dataclass(eq=False)
class _Listener:
    #: None: of all jobs.
    job: str | None
    chunks: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(_WAITING))


class Hub:
    """Takes ids of jobs from any thread, and gives events to any number of listeners."""

    def __init__(
        self,
        rows: Callable[[Sequence[str]], list[JobRow]],
        unsettled: Callable[[], Iterable[str]],
        service: Callable[[], Any],
    ) -> None:
        """Read changed jobs by `rows`, which may change untold by `unsettled`, and what else is shown by `service`.

        Each may raise AmphipodError.
        """
        self._rows = rows
        self._find_unsettled = unsettled
        self._service = service
        self._lock = threading.Lock()
        self._changed: set[str] = set()
        self._told: dict[str, bytes] = {}
        self._unsettled: set[str] = set()
        #: Whether `_unsettled` has all of them; not where changes went by that nobody has listened to.
        self._knows_unsettled = False
        self._last_service = b""
        self._outage: str | None = None
        self._listeners: set[_Listener] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Begin; called in the server's loop."""
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run())

    async def stop(self) -> None:
        self._end_streams()
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def close(self) -> None:
        """End all streams; may be called by a signal's handler."""
        self._closed = True
        if self._loop:
            self._loop.call_soon_threadsafe(self._end_streams)

    def changed(self, job: str) -> None:
        """Note that a job has changed; from any thread."""
        with self._lock:
            self._changed.add(job)

    def set_outage(self, words: str | None) -> None:
        """Say that the service can't be asked, and why; None: that it can again. From any thread."""
        if words == self._outage:
            return
        was, self._outage = self._outage, words
        self._knows_unsettled = False
        if words is None:
            self._tell(_event("back", "{}"))
        elif was is None:
            self._tell(_event("outage", json.dumps({"reason": words})))

    def _tell(self, chunk: bytes) -> None:
        if self._loop and not self._closed:
            self._loop.call_soon_threadsafe(self._send, chunk)

    @property
    def listening(self) -> int:
        return len(self._listeners)

    async def stream(self, job: str | None = None, admitted: Callable[[], bool] = lambda: True) -> AsyncIterator[bytes]:
        """Yield events, of one job or of all, until the server ends or the listener is `admitted` no longer."""
        listener = _Listener(job)
        self._listeners.add(listener)
        try:
            yield b"retry: 2000\n\n"
            if self._outage:
                yield _event("outage", json.dumps({"reason": self._outage}))
            elif self._last_service and job is None:
                yield self._last_service
            while not self._closed:
                try:
                    chunk = await asyncio.wait_for(listener.chunks.get(), _HEARTBEAT)
                except TimeoutError:
                    chunk = b":\n\n"
                if chunk is None or not admitted():
                    return
                yield chunk
        finally:
            self._listeners.discard(listener)

    # In the server's loop

    async def _run(self) -> None:
        looked = served = 0.0
        while True:
            await asyncio.sleep(TICK)
            clock = time.monotonic()
            if clock - looked >= _LOOK_EVERY:
                looked = clock
                with self._lock:
                    self._changed |= self._unsettled
            try:
                await self._look_for_unsettled()
                await self._tell_jobs()
                if self._listeners and clock - served >= _SERVICE_EVERY:
                    served = clock
                    await self._tell_service()
            except AmphipodError as error:
                self.set_outage(str(error))
            except Exception:  # noqa: BLE001  # events go on, whatever one of them met
                _log.exception("events can't be told")

    async def _look_for_unsettled(self) -> None:
        if self._listeners and not self._knows_unsettled:
            self._knows_unsettled = True
            try:
                self.changed_all(set(await run_in_threadpool(self._find_unsettled)))
            except AmphipodError:
                self._knows_unsettled = False
                raise

    async def _tell_jobs(self) -> None:
        with self._lock:
            ids, self._changed = self._changed, set()
        if not ids:
            return
        if not self._listeners:
            self._told.clear()
            self._knows_unsettled = False
            return
        if len(ids) > _MOST_ROWS:
            self._knows_unsettled = False
            self._send(_event("missed", "{}"))
            return
        try:
            rows = await run_in_threadpool(self._rows, sorted(ids))
        except AmphipodError:
            self.changed_all(ids)
            raise
        self._unsettled -= ids
        self._unsettled |= {row.id for row in rows if row.state in UNSETTLED}
        events = {row.id: _event("job", row.model_dump_json()) for row in rows}
        events |= {job: _event("removed", json.dumps({"id": job})) for job in ids - events.keys()}
        fresh = {job: event for job, event in events.items() if self._told.get(job) != event}
        self._told = {job: event for job, event in (self._told | fresh).items() if job in self._unsettled}
        if not fresh:
            return
        whole = b"".join(fresh.values())
        for listener in list(self._listeners):
            if listener.job is None:
                _put(listener, whole)
            elif listener.job in fresh:
                _put(listener, fresh[listener.job])

    def changed_all(self, jobs: set[str]) -> None:
        with self._lock:
            self._changed |= jobs

    async def _tell_service(self) -> None:
        about = await run_in_threadpool(self._service)
        event = _event("service", json.dumps(about, default=str))
        if event != self._last_service:
            self._last_service = event
            for listener in list(self._listeners):
                if listener.job is None:
                    _put(listener, event)

    def _send(self, chunk: bytes) -> None:
        for listener in list(self._listeners):
            _put(listener, chunk)

    def _end_streams(self) -> None:
        self._closed = True
        for listener in list(self._listeners):
            _put(listener, None)


def _put(listener: _Listener, chunk: bytes | None) -> None:
    try:
        listener.chunks.put_nowait(chunk)
    except asyncio.QueueFull:
        while not listener.chunks.empty():
            listener.chunks.get_nowait()
        listener.chunks.put_nowait(_event("missed", "{}") if chunk else None)


def _event(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode()


class RedisReader:
    """Hears from Redis which jobs change, in a thread of its own, and tells the hub; also of outages."""

    def __init__(self, settings: Settings, hub: Hub) -> None:
        self._settings = settings
        self._hub = hub
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(3)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                with connection.opened(self._settings) as client:
                    self._hear(client)
            except (AmphipodError, redis.RedisError, OSError) as error:
                self._hub.set_outage(str(error))
                self._stopped.wait(1)

    def _hear(self, client: redis.Redis) -> None:
        channel = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        channel.subscribe(job_rows.EVENTS)
        channel.ping()
        self._hub.set_outage(None)
        while not self._stopped.is_set():
            message = channel.get_message(timeout=1)
            if message and message["type"] == "message":
                self._hub.changed(str(message["data"]))
