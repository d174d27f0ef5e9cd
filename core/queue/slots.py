"""How many heavy steps a host does at once: slots, locks that the kernel frees when their holder dies."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from core.queue import names

#: Every 4th turn serves the normal queue first, every 8th the low one, so that none is starved.
_TURNS = {"": 4, ".low": 8}

#: Seconds between two looks at who holds the slots.
_LOOK_EVERY = 2.0

_log = structlog.get_logger()


class Gate:
    """The way of this process to its host's slots for one kind of heavy step.

    Entered before a message is fetched and left when it is acknowledged; holds at most one message.
    """

    def __init__(self, queue: str, folder: Path, slots: int) -> None:
        self._queue = queue
        self._folder = folder
        self._slots = slots
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._turn = 0
        #: By queue, when its waiting messages were last looked at, and the holders that were told then.
        self._looked: dict[str, float] = {}
        self._told: dict[str, list[str]] = {}

    @property
    def is_held(self) -> bool:
        return self._descriptor is not None

    def enter(self) -> bool:
        """Take a slot; False when the host has none free, or when this process holds one already."""
        with self._lock:
            if self._descriptor is not None:
                return False
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for number in range(self._slots):
                descriptor = os.open(self._folder / f"{self._queue}.{number}.slot", os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                    continue
                self._descriptor = descriptor
                return True
            return False

    def name_holder(self, words: str) -> None:
        """Write into this process' slot what it does there, for others to read."""
        with self._lock:
            if self._descriptor is not None:
                _write(self._descriptor, words)

    def tell_holders(self, queue: str, waiting: Callable[[], int]) -> None:
        """Log that messages wait while other processes hold the slots; once, and again when they hold them otherwise.

        `waiting` counts the messages of `queue`; it is asked every `_LOOK_EVERY` seconds at the most.
        """
        clock = time.monotonic()
        if self._descriptor is not None or clock - self._looked.get(queue, -_LOOK_EVERY) < _LOOK_EVERY:
            return
        self._looked[queue] = clock
        slots = (self._folder / f"{self._queue}.{number}.slot" for number in range(self._slots))
        holders = [words for slot in slots if slot.exists() and (words := slot.read_text(errors="replace"))]
        if holders != self._told.get(queue, []) and (count := waiting()):
            self._told[queue] = holders
            _log.info("waiting for a slot", queue=queue, waiting=count, held_by="; ".join(holders))

    def leave(self, *, served: bool) -> None:
        """Give the slot back; `served` tells whether a message was done in it."""
        with self._lock:
            if self._descriptor is not None:
                _write(self._descriptor, "")
                os.close(self._descriptor)
                self._descriptor = None
                self._turn += served

    def goes_first(self, queue: str) -> bool:
        """Tell whether it is the turn of this less urgent queue before all others."""
        every = _TURNS.get(queue.removeprefix(names.bare(queue)))
        return every is not None and self._turn % every == every - 1


def taken(queue: str, folder: Path, slots: int) -> int:
    """Return how many slots of a queue processes of this host hold now."""
    found = 0
    for number in range(slots):
        with suppress(FileNotFoundError):
            descriptor = os.open(folder / f"{queue}.{number}.slot", os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # let go of at once, by the close
            except BlockingIOError:
                found += 1
            finally:
                os.close(descriptor)
    return found


def _write(descriptor: int, words: str) -> None:
    with suppress(OSError):  # on a full disk nobody reads who holds the slot; the lock is held all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, words.encode(), 0)
