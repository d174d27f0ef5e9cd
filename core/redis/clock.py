"""Redis' clock: the one that all hosts of a service agree on, whatever their own say."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import redis

#: Seconds for which the answer is carried forward by this host's monotonic clock before Redis is asked again.
_ASK_EVERY = 60.0


class RedisClock:
    """Tells Redis' time without asking each time; used by all threads of a process."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._answer = 0.0

    def seconds(self) -> float:
        """Return the seconds since 1970 by Redis' clock.

        Raises:
            RedisError: it was never told, and Redis does not answer now.
        """
        from redis import RedisError

        with self._lock:
            if self._asked_at is None or time.monotonic() - self._asked_at > _ASK_EVERY:
                try:
                    answer = now(self._client)
                except RedisError:
                    if self._asked_at is None:
                        raise
                else:
                    self._answer, self._asked_at = answer, time.monotonic()
            assert self._asked_at is not None
            return self._answer + time.monotonic() - self._asked_at

    def milliseconds(self) -> int:
        return round(self.seconds() * 1000)


def now(client: redis.Redis) -> float:
    """Ask Redis for its time, in seconds since 1970."""
    seconds, microseconds = client.time()
    return seconds + microseconds / 1e6
