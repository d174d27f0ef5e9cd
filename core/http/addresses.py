"""Which addresses are public: whoever names one must not see our network."""

from __future__ import annotations

import ipaddress
import re
import socket
from contextlib import suppress

from core.errors import BadSource

REMEDY = "name the host in AMPHIPOD_FETCH_HOSTS if it is yours"

#: What no address has, and parsers disagree on.
_STRANGE = re.compile(r"[\\\s\x00-\x1f\x7f]")

#: What of IPv6 is given to anybody (RFC 4291): the rest is this machine, this network, reserved, or IPv4 in disguise.
_WORLD = ipaddress.ip_network("2000::/3")

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


def hosts_of(*urls: str | None) -> tuple[str, ...]:
    """Return the hosts of addresses, but of those that are none."""
    found = []
    for url in urls:
        with suppress(ValueError):
            found.append(host_of(url or "")[0])
    return tuple(found)


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
        if address not in _WORLD:
            return False
    return address.is_global and not address.is_multicast


def public(host: str, port: int) -> list[str]:
    """Return the addresses of a host, all of them public: a name may lead to several, and to others a second later.

    Raises:
        BadSource: one is private.
        OSError: the host is not known here.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError("no name of a host") from error
    known = list(dict.fromkeys(str(one[4][0]) for one in found))
    if not all(map(is_public, known)):
        raise BadSource(f"{host} is at a private address", remedy=REMEDY)
    return known
