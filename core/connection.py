"""The way to Redis, without Dramatiq."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
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
    return redis.Redis.from_url(
        url(settings), decode_responses=True, socket_connect_timeout=5, socket_timeout=15, health_check_interval=15
    )


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[redis.Redis]:
    """Give a connection for the block.

    Raises:
        OutOfReach: Redis does not answer.
    """
    connection = client(settings)
    try:
        yield connection
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise _out_of_reach(settings, error) from error
    finally:
        connection.close()


def _out_of_reach(settings: Settings, error: Exception) -> OutOfReach:
    return OutOfReach(
        f"Redis at {redacted(settings)} does not answer ({error})", remedy="start it, or check AMPHIPOD_BROKER_URL"
    )


def redacted(settings: Settings) -> str | None:
    """Return where Redis is, without its password."""
    if settings.broker_url is None:
        return None
    parts = urlsplit(settings.broker_url)
    return f"{parts.hostname}:{parts.port or 6379}{parts.path}" if parts.hostname else parts.path
