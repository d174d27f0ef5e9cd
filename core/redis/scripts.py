"""Lua scripts that Redis runs at its memory limit too: those that free memory, and the little that these need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis

#: Redis 7 or later. Without it a script may not write at the limit, not even a lease under which something is freed.
_AT_THE_LIMIT = "#!lua flags=allow-oom\n"


def run(client: redis.Redis, script: str, keys: Sequence[str], *arguments: str | int) -> Any:
    """Return what a script answers; a Redis older than 7 refuses it at its limit, as any other."""
    from redis import OutOfMemoryError, ResponseError

    try:
        return client.eval(_AT_THE_LIMIT + script, len(keys), *keys, *arguments)
    except OutOfMemoryError:
        raise
    except ResponseError as error:
        if "compiling script" not in str(error):
            raise
        return client.eval(script, len(keys), *keys, *arguments)
