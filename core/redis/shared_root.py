"""Tells whether this host's jobs root is the folder that the whole service shares.

A host whose network file system is not mounted sees an empty folder under the same name, takes every message and finds
no job. So the folder holds a marker, whose words Redis knows too: whoever first submits a job makes both, a worker
makes neither. A worker that can't see the marker takes nothing, says so, and looks again.
"""

from __future__ import annotations

import secrets
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from core.errors import OutOfReach
from core.redis.keys import NAMESPACE
from core.storage import files

if TYPE_CHECKING:
    import redis

    from core.settings import Settings

#: Name of the marker in the jobs root.
MARKER = "service-id"

_KEY = f"{NAMESPACE}:service-id"

#: Seconds between two looks at the marker, and between two complaints that it can't be seen.
_LOOK_EVERY = 2.0
_COMPLAIN_EVERY = 300.0

_log = structlog.get_logger()


def read(root: Path) -> str | None:
    """Return the marker's words, None if it can't be seen from here."""
    try:
        return (root / MARKER).read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None


def claim(client: redis.Redis, root: Path) -> None:
    """Make sure, before a job is stored, that `root` is the service's folder; the first to ask makes it so.

    Raises:
        OutOfReach: Redis knows another one.
    """
    known = client.get(_KEY)
    if known is None:
        _make(root)
        client.set(_KEY, read(root) or "", nx=True)
        known = client.get(_KEY)
    if fault := _fault(root, str(known)):
        raise OutOfReach(fault, remedy=REMEDY)


def adopt(client: redis.Redis, root: Path) -> None:
    """Make `root` the service's folder, whatever Redis knew before: jobs were moved to another file system."""
    _make(root)
    client.set(_KEY, read(root) or "")


def examine(client: redis.Redis, root: Path) -> str | None:
    """Return what is wrong with this host's `root`: "" if nothing, None as long as no job was ever submitted."""
    known = client.get(_KEY)
    if known is None:
        return None if read(root) is None else ""
    return _fault(root, str(known))


REMEDY = "mount the shared folder there; if the jobs were moved to a new one on purpose, `amphipod resume --adopt`"


def _make(root: Path) -> None:
    with files.disk_errors(root):
        files.make_folder(root)
        try:
            files.write_once(root / MARKER, secrets.token_hex(8) + "\n")
        except FileExistsError:
            return


def _fault(root: Path, known: str) -> str:
    seen = read(root)
    if seen is None:
        return f"{root}: not the folder of this service, {MARKER} is missing in it"
    return "" if seen == known else f"{root}: the folder of another service, its {MARKER} is {seen} and not {known}"


class RootWatch:
    """Looks at this host's folders again and again, for all threads of a worker."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._settings = settings
        self._client = client
        self._lock = threading.Lock()
        self._looked_at: float | None = None
        self._complained_at: float | None = None
        self._known: str | None = None
        self._is_open = False
        #: Why nothing is taken, in words for a person; "" when something is, or when there never was a job.
        self.fault = ""

    def is_open(self, *, now: bool = False) -> bool:
        """Tell whether a job's message may be taken here; `now` looks again at once."""
        with self._lock:
            if now or self._looked_at is None or time.monotonic() - self._looked_at >= _LOOK_EVERY:
                self._look()
                self._looked_at = time.monotonic()
            return self._is_open

    def _look(self) -> None:
        from redis import RedisError

        root = self._settings.jobs_root
        seen = read(root)
        try:
            known = self._client.get(_KEY)
            if known is None and seen is not None:  # Redis has lost its data
                self._client.set(_KEY, seen, nx=True)
                known = self._client.get(_KEY)
            self._known = None if known is None else str(known)
        except RedisError:
            pass  # what it said last still holds
        missing = [str(one) for one in self._settings.media_roots if not one.is_dir()]
        fault = "" if self._known is None else _fault(root, self._known)
        if not fault and missing:
            fault = f"media root {', '.join(missing)}: not a folder here"
        self._is_open = self._known is not None and not fault
        self._tell(fault)

    def _tell(self, fault: str) -> None:
        due = self._complained_at is None or time.monotonic() - self._complained_at >= _COMPLAIN_EVERY
        if fault and (fault != self.fault or due):
            self._complained_at = time.monotonic()
            _log.error("no job is taken on this host", reason=fault, remedy=REMEDY)
        elif self.fault and not fault:
            _log.info("jobs are taken again on this host")
        self.fault = fault
