"""uvicorn, as we run it: it says where it listens, puts up with no half-sent head, and ends at once."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from core.errors import BadCall
from core.web.services import Services

#: Seconds within which a request's head must have come.
HEAD_LIMIT = 10.0

#: Connections that are served at the same time; more get 503.
_CONNECTIONS = 1000


class PatientProtocol(H11Protocol):
    """Ends a connection on which no whole head has come for `HEAD_LIMIT` seconds."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        if self._head_timer is None and (before is None or before.response_complete):
            self._wait_for_head()
        super().data_received(data)
        if self.cycle is not before:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_LIMIT, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None


class _Server(uvicorn.Server):
    """Closes the streams of events first: a server that ends waits for its answers, and those have no end."""

    def __init__(self, config: uvicorn.Config, close: Callable[[], None], say: Callable[[str], None]) -> None:
        super().__init__(config)
        self._close = close
        self._say = say

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for one in sockets or ():
            host, port = one.getsockname()[:2]
            self._say(f"http://{f'[{host}]' if ':' in host else host}:{port}/")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._close()
        super().handle_exit(sig, frame)


def run(app: FastAPI, host: str, port: int, *, say: Callable[[str], None]) -> None:
    """Serve until a signal comes; `say` is told the address.

    Raises:
        BadCall: this address can't be listened on, or another process does the jobs of this folder.
    """
    services: Services = app.state.services
    if services.local:
        services.local.lock()
    listener = listen(host, port)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # that it has started is told in our words
    make(app, say=say).run(sockets=[listener])


def make(app: FastAPI, *, say: Callable[[str], None] = lambda words: None) -> uvicorn.Server:
    """Return a server, which runs on sockets of `listen`."""
    services: Services = app.state.services
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=3,
    )
    return _Server(config, services.close, say)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        BadCall
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=512)
    except OSError as error:
        words = f"{host}:{port} can't be listened on ({error.strerror or error})"
        raise BadCall(words, remedy="choose another --port") from error
