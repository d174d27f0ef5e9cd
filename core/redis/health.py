"""Whether a Redis may be trusted with jobs: does it keep them over its own end, and when memory is short."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import redis


def examine(client: redis.Redis) -> Iterator[tuple[str, bool, str]]:
    """Return what was looked at, whether it is well, and words for a person."""
    yield ("persistence", *_persistence(client))
    yield ("memory", *_memory(client))


def _persistence(client: redis.Redis) -> tuple[bool, str]:
    """Ask whether Redis survives its own end; a hosted one may refuse to say."""
    from redis import ResponseError

    try:
        appends = client.config_get("appendonly").get("appendonly") == "yes"
        saves = bool(client.config_get("save").get("save"))
    except ResponseError:
        return True, "not told; make sure that it writes to disk"
    if appends:
        return True, "append-only file"
    words = "snapshots only: jobs since the last one need `amphipod resume`" if saves else "none"
    return False, f"{words}: set `appendonly yes`"


def _memory(client: redis.Redis) -> tuple[bool, str]:
    """Ask what Redis does at its memory limit, where to evict is to lose messages without a word, and how far it is."""
    from redis import ResponseError

    try:
        told = client.info("memory")
    except ResponseError:
        return True, "not told; make sure that maxmemory-policy is noeviction"
    policy = str(told.get("maxmemory_policy", "noeviction"))
    if policy == "noeviction":
        used, limit = int(told.get("used_memory", 0)), int(told.get("maxmemory", 0))
        if 0 < limit <= used:
            return False, f"its limit of {limit} bytes is reached, it takes nothing more: raise `maxmemory`"
        return True, "evicts nothing"
    return False, f"maxmemory-policy {policy} throws jobs away when memory is short: set `maxmemory-policy noeviction`"
