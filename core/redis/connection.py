"""The way to Redis, without Dramatiq."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import cache
from urllib.parse import urlsplit

import redis

from core.errors import AmphipodError, BadSettings, OutOfReach
from core.settings import Settings


def url(settings: Settings) -> str:
    """Return the broker's address.

    Raises:
        BadSettings: there is none, or it isn't Redis.
    """
    if settings.broker_url is None:
        raise BadSettings("no broker", remedy="set AMPHIPOD_BROKER_URL=redis://host:6379/0, or use `amphipod run`")
    if urlsplit(settings.broker_url).scheme not in ("redis", "rediss", "unix"):
        raise BadSettings(
            f"AMPHIPOD_BROKER_URL: {urlsplit(settings.broker_url).scheme}:// is not supported", remedy="use redis://"
        )
    return settings.broker_url


def client(settings: Settings) -> redis.Redis:
    """Return a connection to Redis, made when it is first used."""
    return _connect(url(settings))


def shared(settings: Settings) -> redis.Redis:
    """Return this process' common connections to Redis, for what is sent too often to connect each time."""
    return _connect_once(url(settings))


def _connect(address: str) -> redis.Redis:
    return redis.Redis.from_url(
        address,
        decode_responses=True,
        encoding_errors="backslashreplace",  # anybody may have put anything there
        socket_connect_timeout=5,
        socket_timeout=15,
        health_check_interval=15,
    )


_connect_once = cache(_connect)


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[redis.Redis]:
    """Give a connection for the block.

    Raises:
        OutOfReach: Redis does not answer, or takes nothing.
        BadSettings: it does not let us in.
    """
    connection = client(settings)
    try:
        with errors(settings):
            yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def errors(settings: Settings) -> Iterator[None]:
    """Turn whatever Redis refuses, or that it does not answer, into OutOfReach or BadSettings."""
    try:
        yield
    except redis.RedisError as error:
        raise refusal(error, settings.broker_url) from error


#: What Redis says, what it means, and who mends it: BadSettings when waiting would not help. The first that is found
#: in the error's words counts, the class of the error being the first of them; scripts repeat the words in their own.
_REFUSALS: Sequence[tuple[tuple[str, ...], type[AmphipodError], str, str]] = (
    (
        ("AuthenticationError", "AuthenticationWrong", "NOAUTH", "WRONGPASS"),
        BadSettings,
        "refuses the login",
        "check the user and the password in the broker's URL",
    ),
    (
        ("NoPermissionError", "NOPERM", "ACL failure", "no permissions"),
        BadSettings,
        "forbids this user what is needed",
        "give the user `~amphipod* &amphipod* +@all` by ACL SETUSER",
    ),
    (
        ("DB index", "invalid DB", "Invalid Database", "SELECT is not allowed"),
        BadSettings,
        "has no database of this number",
        "correct the number at the end of the broker's URL, or raise `databases` in redis.conf",
    ),
    (
        ("ReadOnlyError", "READONLY", "read only replica"),
        OutOfReach,
        "is a read-only replica",
        "let the broker's URL name the primary",
    ),
    (
        ("OutOfMemoryError", "OOM ", "'maxmemory'"),
        OutOfReach,
        "has reached its memory limit",
        "raise `maxmemory`, and keep `maxmemory-policy noeviction`",
    ),
    (
        ("NOREPLICAS",),
        OutOfReach,
        "has too few replicas to take anything",
        "start them again, or lower `min-replicas-to-write`",
    ),
    (("BusyLoadingError", "LOADING"), OutOfReach, "is still reading its data", "wait until it has"),
    (
        ("MASTERDOWN", "Link with MASTER"),
        OutOfReach,
        "is a replica that has lost its primary",
        "let the broker's URL name the primary",
    ),
    (("MISCONF",), OutOfReach, "can't write to its disk", "free or mend the disk; its own log says more"),
)


def refusal(error: redis.RedisError, address: str | None) -> AmphipodError:
    """Say in a line what Redis refuses, and the remedy."""
    server, words = f"Redis at {without_password(address)}", str(error).rpartition("pipeline caused error: ")[2]
    for signs, kind, meaning, remedy in _REFUSALS:
        if any(sign in f"{type(error).__name__} {words}" for sign in signs):
            return kind(f"{server} {meaning} ({words})", remedy=remedy)
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return OutOfReach(f"{server} does not answer ({words})", remedy="start it, or check AMPHIPOD_BROKER_URL")
    return OutOfReach(f"{server} refuses a command ({words})", remedy="see `amphipod doctor`")


def redacted(settings: Settings) -> str | None:
    """Return where Redis is, without its password."""
    return without_password(settings.broker_url)


def without_password(address: str | None) -> str | None:
    """Return a broker's place as a person may see it."""
    if address is None:
        return None
    parts = urlsplit(address)
    return f"{parts.hostname}:{parts.port or 6379}{parts.path}" if parts.hostname else parts.path
