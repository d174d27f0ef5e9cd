"""Which addresses are public, and requests that reach no others: whoever names an address must not see our network."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING

from core.errors import BadSource

if TYPE_CHECKING:
    import requests

REMEDY = "name the host in AMPHIPOD_FETCH_HOSTS if it is yours"

#: What no address has, and parsers disagree on.
_STRANGE = re.compile(r"[\\\s\x00-\x1f\x7f]")

#: IPv4 behind a translator (RFC 6052); the last four bytes are the address.
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


def host_of(url: str) -> tuple[str, int | None]:
    r"""Return host and port of an address of the web, as whoever connects to it reads it.

    The standard library reads `http://127.0.0.1\@allowed.example/` otherwise than requests, which connects.

    Raises:
        ValueError: it is no address of the web.
    """
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    try:
        parts = parse_url(url)
    except LocationParseError as error:
        raise ValueError("not an address of the web") from error
    if parts.scheme not in ("http", "https") or not parts.host or _STRANGE.search(url):
        raise ValueError("not an address of the web")
    return parts.host.strip("[]").lower(), parts.port


def is_public(text: str) -> bool:
    """Tell whether an address is one of the whole world's, whatever form hides it."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        hidden = address.ipv4_mapped or address.sixtofour
        if address in _TRANSLATED:
            hidden = ipaddress.IPv4Address(address.packed[-4:])
        if hidden:
            return is_public(str(hidden))
    return address.is_global and not address.is_multicast


def session(*, only_public: bool) -> requests.Session:
    """Return a session; one for public addresses only looks at the address that it is connected to.

    It asks no proxy then: where that connects to, nobody here could tell.

    Raises, in its requests:
        BadSource: the address is private.
    """
    import requests

    new = requests.Session()
    if only_public:
        new.trust_env = False
        for scheme in ("http://", "https://"):
            new.mount(scheme, _adapter())
    return new


def _adapter() -> requests.adapters.HTTPAdapter:
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.connection import HTTPConnection, HTTPSConnection

    class PublicConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _checked(super()._new_conn(), self.host)

    class PublicSecureConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _checked(super()._new_conn(), self.host)

    class Pool(HTTPConnectionPool):
        ConnectionCls = PublicConnection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = PublicSecureConnection

    adapter = HTTPAdapter()
    adapter.poolmanager.pool_classes_by_scheme = {"http": Pool, "https": SecurePool}
    return adapter


def _checked(connected: socket.socket, host: str) -> socket.socket:
    """Close a connection to a private address before anything is said on it."""
    if not is_public(str(connected.getpeername()[0])):
        connected.close()
        raise BadSource(f"{host} is at a private address", remedy=REMEDY)
    return connected
