"""Work on one item after the other that waits for none of them longer than a limit, and that none can end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from core.errors import AmphipodError, Transient

#: Looks at the work within one limit. They are counted and not timed: a host that slept has not waited for an item.
_LOOKS = 20

#: Items given up whose work may still hang before no more is begun.
_MOST_HANGING = 20

_hanging: list[threading.Thread] = []

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class TookTooLong(AmphipodError):
    """An item that was given up. Its work goes on, in a thread of its own, and whatever it answers is not heard."""


def each(work: Callable[[_Item], _Result], items: Sequence[_Item], limit: float) -> list[_Result | Exception]:
    """Return for each item what the work answered or raised, TookTooLong after `limit` seconds.

    Raises:
        Transient: too many items were given up and still hang.
    """
    outcomes: list[_Result | Exception] = []
    while len(outcomes) < len(items):
        _hanging[:] = [thread for thread in _hanging if thread.is_alive()]
        if len(_hanging) >= _MOST_HANGING:
            raise Transient(f"{len(_hanging)} statements hang in plugins", remedy="restart this worker")
        outcomes += _Run(work, items[len(outcomes) :]).outcomes(limit)
    return outcomes


class _Run(Generic[_Item, _Result]):
    """Items worked on by a thread, until they are done or one of them is given up."""

    def __init__(self, work: Callable[[_Item], _Result], items: Sequence[_Item]) -> None:
        self._work = work
        self._items = items
        self._done: list[_Result | Exception] = []
        self._ended = threading.Event()
        self._given_up = False
        self._thread = threading.Thread(target=self._go, name="statements, prepared", daemon=True)
        self._thread.start()

    def outcomes(self, limit: float) -> list[_Result | Exception]:
        """Wait, and return the outcomes up to the item that was given up, if one was."""
        done = looks = 0
        while not self._ended.wait(limit / _LOOKS):
            looks = looks + 1 if len(self._done) == done else 0
            done = len(self._done)
            if looks >= _LOOKS:
                self._given_up = True
                _hanging.append(self._thread)
                return [*self._done[:done], TookTooLong(f"given up after {limit:g} s of work on it")]
        missing = len(self._items) - len(self._done)
        return [*self._done, *([AmphipodError("work on it ended its thread")] if missing else [])]

    def _go(self) -> None:
        try:
            for item in self._items:
                try:
                    outcome: _Result | Exception = self._work(item)
                except Exception as error:  # noqa: BLE001  # whatever one item does, the others go on
                    outcome = error
                if self._given_up:
                    return
                self._done.append(outcome)
        finally:
            self._ended.set()
