"""A circuit breaker a store: after some failures in a row all wait, and one at a time probes whether it is back."""

from __future__ import annotations

import threading
import time

from core import backoff

#: Failures in a row, of whichever partitions, that open the breaker.
_TRIPPED_BY = 3

#: Seconds of the first pause; doubled each time.
_FIRST_PAUSE = 1.0


def pause(failures: int, longest: float, asked: float | None = None) -> float:
    """Return for how many seconds to leave a store alone that has failed so often; `asked` is what it wants."""
    return backoff.pause(failures, first=_FIRST_PAUSE, longest=longest, asked=asked)


class Breaker:
    """Of one store in one process; used by all of its partitions."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._lock = threading.Lock()
        self._failures = 0
        self._closed_until = 0.0
        self._probing = False
        #: Partitions that have failed since the store last took something.
        self._failed: set[str] = set()

    def enter(self, partition: str) -> bool:
        """Ask to try the store; who is let in reports back with `leave`.

        A partition that has not failed yet is let in: what the others could not deliver may be their own fault.
        """
        with self._lock:
            if self._failures < _TRIPPED_BY:
                return True
            if self._probing or (time.monotonic() < self._closed_until and partition in self._failed):
                return False
            self._probing = True
            return True

    def leave(self, partition: str, *, failed: bool | None, after: float | None = None, for_long: bool = False) -> None:
        """Report: whether the store failed, None when that can't be told.

        `after` is the pause that the store wants; `for_long` says that only a person can mend it.
        """
        with self._lock:
            self._probing = False
            if failed is None:
                return
            if not failed:
                self._failures = 0
                self._failed.clear()
                return
            self._failed.add(partition)
            self._failures = max(self._failures + 1, _TRIPPED_BY if for_long else 0)
            if self._failures >= _TRIPPED_BY:
                rounds = self._failures - _TRIPPED_BY + 1
                wanted = self._longest if for_long else pause(rounds, self._longest, after)
                self._closed_until = time.monotonic() + wanted
