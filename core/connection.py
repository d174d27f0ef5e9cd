"""The way to Redis, without Dramatiq."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from urllib.parse import urlsplit

import redis

from core.errors import BadSettings, OutOfReach
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
        address, decode_responses=True, socket_connect_timeout=5, socket_timeout=15, health_check_interval=15
    )


_connect_once = cache(_connect)


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[redis.Redis]:
    """Give a connection for the block.

    Raises:
        OutOfReach: Redis does not answer.
    """
    connection = client(settings)
    try:
        with errors(settings):
            yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def errors(settings: Settings) -> Iterator[None]:
    """Turn a Redis that does not answer into OutOfReach."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise OutOfReach(
            f"Redis at {redacted(settings)} does not answer ({error})", remedy="start it, or check AMPHIPOD_BROKER_URL"
        ) from error


def redacted(settings: Settings) -> str | None:
    """Return where Redis is, without its password."""
    return without_password(settings.broker_url)


def without_password(address: str | None) -> str | None:
    """Return a broker's place as a person may see it."""
    if address is None:
        return None
    parts = urlsplit(address)
    return f"{parts.hostname}:{parts.port or 6379}{parts.path}" if parts.hostname else parts.path
