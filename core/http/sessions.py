"""Sessions of requests that reach public addresses only, and whose connections can be cut while somebody reads them."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from core.http import addresses

if TYPE_CHECKING:
    import requests


class Line:
    """The connections of a session, cut by another thread when nothing more is wanted of them.

    Who reads one waits for its next bytes, and a server may send one now and then for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        self._is_cut = False

    @property
    def is_cut(self) -> bool:
        return self._is_cut

    def add(self, connected: socket.socket) -> None:
        """Hold an end of our own: what TLS makes of the socket is another object.

        A session asks one thing after the other, so that of its connections the last is the one that is read.
        """
        with self._lock:
            while self._ends:
                self._ends.pop().close()
            self._ends.append(socket.socket(fileno=os.dup(connected.fileno())))
            if self._is_cut:
                self._shut()

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            self._shut()

    @contextmanager
    def cut_after(self, seconds: float) -> Iterator[None]:
        """Cut the connections if the block takes longer: a limit of requests is that of each piece of an answer."""
        timer = threading.Timer(seconds, self.cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def close(self) -> None:
        """Let go of the connections; those of the session itself are its own."""
        with self._lock:
            while self._ends:
                self._ends.pop().close()

    def _shut(self) -> None:
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from replacing our Authorization by one of ~/.netrc."""
    return request


def read(response: requests.Response, *, until: float, largest: int) -> bytes:
    """Return what comes of an answer's body until then, packed as it came: some bytes may unfold to gigabytes.

    The time limit of `requests` is that of each piece, however many come.
    """
    found = b""
    while len(found) < largest and time.monotonic() < until:
        some: bytes = response.raw.read1(largest - len(found), decode_content=False)
        if not some:
            break
        found += some
    return found


def session(*, only_public: bool, line: Line | None = None) -> requests.Session:
    """Return a session; one for public addresses only connects to the very addresses that it has checked.

    It asks no proxy then: where that connects to, nobody here could tell.

    Raises, in its requests:
        BadSource: the address is private.
    """
    import requests

    new = requests.Session()
    new.headers["Accept-Encoding"] = "identity"
    if only_public:
        new.trust_env = False
    for scheme in ("http://", "https://"):
        new.mount(scheme, _adapter(line or Line(), only_public=only_public))
    return new


def _adapter(line: Line, *, only_public: bool) -> requests.adapters.HTTPAdapter:
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
    from urllib3.util.connection import create_connection

    def connect(owner: Any) -> socket.socket:
        """Do as urllib3 does, but name the addresses to the system ourselves."""
        host, port = owner._dns_host, owner.port  # with its last dot, as the system looks it up
        try:
            found = addresses.public(host, port) if only_public else [host]
        except OSError as error:
            raise NameResolutionError(owner.host, owner, socket.gaierror(*error.args)) from error
        fault: OSError | None = None
        for address in found:
            if line.is_cut:
                break
            try:
                return create_connection((address, port), owner.timeout, owner.source_address, owner.socket_options)
            except socket.gaierror as error:
                raise NameResolutionError(owner.host, owner, error) from error
            except OSError as error:
                fault = error
        if isinstance(fault, TimeoutError):
            raise ConnectTimeoutError(owner, f"{host} does not accept a connection") from fault
        raise NewConnectionError(owner, f"no connection to {host}: {fault or 'it is not wanted any more'}") from fault

    class Connection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            connected = connect(self)
            line.add(connected)
            return connected

    class SecureConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            connected = connect(self)
            line.add(connected)
            return connected

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    adapter = HTTPAdapter()
    adapter.poolmanager.pool_classes_by_scheme = {"http": Pool, "https": SecurePool}
    return adapter
