"""Which statement is it? What a store does not take is halved until it stands alone, and set aside if only it fails."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass
class _Suspect:
    """A statement that failed alone."""

    key: str
    since: float
    #: What the store had taken when it last failed.
    sent: int
    #: Failures between which the store took others.
    tries: int = 0


class Isolation:
    """What a partition knows of the failures at its head."""

    def __init__(self, largest: int) -> None:
        """Begin with batches of `largest` statements."""
        self._largest = largest
        #: The statements at the head among which the cause must be; 0: none is sought.
        self._within = 0
        self._suspect: _Suspect | None = None

    @property
    def batch(self) -> int:
        """How many statements to send."""
        return max(1, self._within // 2) if self._within else self._largest

    @property
    def is_accusing(self) -> bool:
        return self._suspect is not None

    @property
    def tries(self) -> int:
        """Failures of the statement that failed alone, between which the store took others."""
        return self._suspect.tries if self._suspect else 0

    def settled(self, number: int) -> None:
        """Note that so many have left the partition's head."""
        if number:
            self._within = max(0, self._within - number)
            self._suspect = None

    def failed(self, number: int) -> bool:
        """Note that so many failed together; tells whether it was one alone."""
        self._within = number
        return number == 1

    def accuse(self, key: str, before: int, after: int) -> None:
        """Note that a statement failed by itself, with what the store had taken before it was sent, and afterwards."""
        one = self._suspect
        if one is None or one.key != key:
            self._suspect = _Suspect(key, time.monotonic(), after)
        elif before > one.sent:
            one.tries += 1
            one.sent = after

    def is_proven(self, tries: int, seconds: float) -> bool:
        """Tell whether it failed so often, for so long, while the store took others."""
        one = self._suspect
        return one is not None and one.tries >= tries and time.monotonic() - one.since >= seconds
