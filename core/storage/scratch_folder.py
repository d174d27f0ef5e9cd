"""The folders of attempts: begun, owned by a process, emptied when it has failed."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from core.storage.files import clock, disk_errors, host_name, is_alive, process_identity, remove, write_replacing
from core.storage.job_folder import JobFolder

#: Seconds without a sign of life after which an attempt of another host counts as dead.
ABANDONED_AFTER = 60.0


@dataclass(frozen=True)
class Scratch:
    """The folder of one attempt: `scratch/<step>.<attempt>`."""

    path: Path
    step: str
    attempt: int

    @property
    def work(self) -> Path:
        return self.path / "work"

    @property
    def output(self) -> Path:
        return self.path / "output"

    @property
    def failure(self) -> Path:
        """Why this attempt failed; the folder then stays, empty but for this, so that attempts can be counted."""
        return self.path / "failure.json"

    @property
    def owner(self) -> Path:
        """Which process made this attempt; touched while it lives."""
        return self.path / "owner.json"


def attempts(folder: JobFolder, step: str | None = None) -> list[Scratch]:
    """Return the attempts that were begun and neither committed nor handed back, oldest first.

    Of one step, or of all.
    """
    found = []
    for path in folder.scratch.glob(f"{step or '*'}.*"):
        name, _, number = path.name.rpartition(".")
        if number.isdigit() and step in (None, name):
            found.append(Scratch(path, name, int(number)))
    return sorted(found, key=lambda scratch: (scratch.step, scratch.attempt))


def begin_attempt(folder: JobFolder, step: str, *, after: int) -> Scratch:
    """Make the folder of a new attempt, numbered from `after` + 1 and after any that is there."""
    number = max([after, *(scratch.attempt for scratch in attempts(folder, step))])
    with disk_errors(folder.path):
        while True:
            number += 1
            scratch = Scratch(folder.scratch / f"{step}.{number}", step, number)
            with contextlib.suppress(FileExistsError):
                scratch.path.mkdir(0o770)
                break
        scratch.work.mkdir()
        scratch.output.mkdir()
        owner = {"host": host_name(), "pid": os.getpid(), "process": process_identity(os.getpid())}
        write_replacing(scratch.owner, json.dumps(owner) + "\n")
    return scratch


def is_abandoned(scratch: Scratch, older_than: float = ABANDONED_AFTER) -> bool:
    """Tell whether nobody works in this folder any more.

    Exact for an attempt of this host whose process we may see; any other counts as dead when it was not touched for
    `older_than` seconds.
    """
    try:
        owner = json.loads(scratch.owner.read_bytes())
    except (OSError, ValueError):
        return scratch.failure.exists() or _age(scratch.path) > older_than
    if scratch.failure.exists():
        return True
    if owner["host"] == host_name():
        identity = process_identity(owner["pid"])
        if identity or not is_alive(owner["pid"]):
            return bool(owner["process"] != identity)
    return _age(scratch.owner) > older_than


def _age(path: Path) -> float:
    """Return the seconds since a file's last change, by the file system's own clock."""
    try:
        return clock(path.parent) - path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def empty(scratch: Scratch, reason: str) -> None:
    """Free what a failed attempt holds; its folder stays, with the reason, so that attempts can be counted."""
    if not scratch.failure.exists():
        write_replacing(scratch.failure, json.dumps({"reason": reason}) + "\n")
    remove(scratch.work)
    remove(scratch.output)


def failure_reason(scratch: Scratch) -> str | None:
    """Return why this attempt failed, None if nobody has said so yet."""
    try:
        return str(json.loads(scratch.failure.read_bytes())["reason"])
    except (OSError, ValueError):
        return None


def sweep(folder: JobFolder, older_than: float = ABANDONED_AFTER) -> int:
    """Remove the scratch folders that nobody works in. Returns how many."""
    dead = [scratch for scratch in attempts(folder) if is_abandoned(scratch, older_than)]
    for scratch in dead:
        remove(scratch.path)
    return len(dead)
