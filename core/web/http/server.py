"""uvicorn, as we run it: it says where it listens, puts up with no half-sent head, and ends at once."""

from __future__ import annotations

import asyncio
import http
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from core.errors import BadCall
from core.settings import Settings
from core.web.http.headers import LOCAL, SECURITY
from core.web.services import Services

#: Seconds within which a request's head must have come.
HEAD_LIMIT = 10.0

#: Seconds for which a client may take nothing of what waits for it; a player that pauses asks again afterwards.
SILENCE_LIMIT = 60.0


class PatientProtocol(H11Protocol):
    """Ends a connection on which no whole head has come for `HEAD_LIMIT` seconds, or whose client stops reading.

    Of more connections than there may be each gets 503 at once, before anything is read, so that files of this process
    are left for its work.
    """

    _head_timer: asyncio.TimerHandle | None = None
    _most: int
    #: Proxies, which bring everybody's requests.
    _trusted: Sequence[str]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._is_one_too_many():
            self.connections.discard(self)
            self._refuse(503)
            return
        if plain := transport.get_extra_info("socket"):
            # The kernel ends the connection, also while it waits to be closed.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(SILENCE_LIMIT * 1000))
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        before = self.cycle
        if self._head_timer is None and (before is None or before.response_complete):
            self._wait_for_head()
        super().data_received(data)
        if self.cycle is not before:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words say no more than the status
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(400)
        else:  # half of an answer may have left
            self.transport.close()

    def _is_one_too_many(self) -> bool:
        if len(self.connections) > self._most:
            return True
        host = self.client[0] if self.client else ""
        if host in self._trusted:
            return False
        return sum(1 for one in self.connections if _host_of(one) == host) > max(self._most // 2, 1)

    def _refuse(self, status: int) -> None:
        """Answer by a status alone, and close."""
        lines = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in {**SECURITY, **_LAST}.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode())
        self.transport.close()

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_LIMIT, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None


#: Of an answer after which a connection is closed.
_LAST: Mapping[str, str] = {"content-length": "0", "connection": "close", "retry-after": "5"}


def _host_of(protocol: object) -> str:
    client = getattr(protocol, "client", None)
    return client[0] if client else ""


def _protocol(settings: Settings) -> type[PatientProtocol]:
    """Return the protocol of a server by these settings: uvicorn makes its instances, and hands on none of ours."""

    class Limited(PatientProtocol):
        _most = settings.web_connections
        _trusted = settings.web_trusted_proxies or LOCAL

    return Limited


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
        http=_protocol(services.settings),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
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
