"""What is counted for Prometheus, where it happens: attempts at steps, what they took, failures, callbacks.

Counted only where `collecting` was called, in this process or in the one that started it. The counts lie in files of a
folder of this host, so that they are right whichever process counts, and whichever has died.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING

from core.errors import BadCall

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Histogram

#: prometheus-client's own, which it reads when it is imported.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_PREFIX, _LOCK = "amphipod-metrics-", "owner.lock"

#: Seconds: from a clip to a long film on a slow host.
_SECONDS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400)

#: Seconds of media a second.
_SPEEDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)


def collecting() -> None:
    """Count from now on, in this process and in those that it starts.

    Raises:
        BadCall: prometheus-client is not installed.
    """
    if find_spec("prometheus_client") is None:
        raise BadCall("numbers for Prometheus need prometheus-client", remedy="pip install 'amphipod[web]'")
    if FOLDER not in os.environ:
        _sweep()
        folder = tempfile.mkdtemp(prefix=_PREFIX)
        _hold(Path(folder))
        os.environ[FOLDER] = folder
        atexit.register(_remove, folder, os.getpid())


@cache
def _hold(folder: Path) -> IO[str]:
    """Lock a folder for as long as this process lives."""
    lock = (folder / _LOCK).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _sweep() -> None:
    """Remove what processes have left that were ended by a signal: nobody holds it any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError), (folder / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # and no process that it has forked
        shutil.rmtree(folder, ignore_errors=True)


def registry() -> CollectorRegistry:
    """Return a new registry with all that was counted since `collecting`."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    found = CollectorRegistry()
    if FOLDER in os.environ:
        MultiProcessCollector(found)  # type: ignore[no-untyped-call]  # has no annotations
    return found


class _Counts:
    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        own = CollectorRegistry()
        by_engine = ("step", "engine")
        self.attempts: Counter = Counter("amphipod_step_attempts", "Attempts at a step begun", ["step"], registry=own)
        self.seconds: Histogram = Histogram(
            "amphipod_step_seconds",
            "Seconds that a step, or a part of one, took",
            by_engine,
            buckets=_SECONDS,
            registry=own,
        )
        self.media: Counter = Counter(
            "amphipod_step_media_seconds", "Seconds of media that a step has done", by_engine, registry=own
        )
        self.speed: Histogram = Histogram(
            "amphipod_step_speed_ratio", "Seconds of media a second", by_engine, buckets=_SPEEDS, registry=own
        )
        self.failures: Counter = Counter(
            "amphipod_step_failures", "Steps that failed for good, by the error's name", ("step", "kind"), registry=own
        )
        self.callbacks: Counter = Counter(
            "amphipod_callback_tries", "Tries to tell a portal, by what came of them", ("kind", "outcome"), registry=own
        )


@cache
def _counts() -> _Counts | None:
    return _Counts() if FOLDER in os.environ else None


def attempt_began(step: str) -> None:
    if counts := _counts():
        counts.attempts.labels(step).inc()


def step_ended(step: str, engine: str, seconds: float, media: float) -> None:
    """Count an attempt that was committed; `media` in seconds, 0 where nothing is known of it."""
    if counts := _counts():
        counts.seconds.labels(step, engine).observe(seconds)
        if media:
            counts.media.labels(step, engine).inc(media)
            counts.speed.labels(step, engine).observe(media / seconds)


def step_failed(step: str, kind: str) -> None:
    if counts := _counts():
        counts.failures.labels(step, kind).inc()


def callback_tried(kind: str, outcome: str) -> None:
    if counts := _counts():
        counts.callbacks.labels(kind, outcome).inc()
