"""Frees the disk of what jobs no longer need: all at once, by hand; or a bounded round now and then, by one worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import structlog

from core.model import Model
from core.retention import holdings, uploads
from core.retention.holdings import Removable
from core.settings import Settings
from core.storage import files
from core.storage.job_folder import JobFolder

#: Jobs that a round looks at, and seconds after which it ends.
_MOST_JOBS = 2000
_MOST_SECONDS = 30.0

_log = structlog.get_logger()


class Cursor(Model):
    """`<root>/sweep.json`: the last job that a round looked at; the file's own time is when."""

    job: str = ""


def jobs(root: Path, after: str = "") -> list[str]:
    """Return the ids of the jobs, in order, those after `after` first, then from the beginning."""
    try:
        names = sorted(path.name for path in (root / "jobs").iterdir() if path.is_dir())
    except FileNotFoundError:
        return []
    return [name for name in names if name > after] + [name for name in names if name <= after]


def sweep(settings: Settings, names: list[str], *, asked: bool = False, dry_run: bool = False) -> Iterator[Removable]:
    """Remove what these jobs no longer need, and yield what it was; a job that resists is named in the log."""
    for name in names:
        folder = JobFolder(settings.jobs_root, name)
        try:
            found = holdings.look(settings, folder, asked=asked)
            if found and not dry_run:
                holdings.remove(folder, found)
        except Exception as error:  # noqa: BLE001  # one job may not keep the others from being swept
            _log.warning("job can't be swept", job=name, reason=str(error))
            continue
        if found:
            yield found


def next_round(settings: Settings, note: Callable[[Removable], None] = lambda found: None) -> int:
    """Make a round, unless one was made within `sweep_seconds`. Returns the bytes that it freed.

    `note` is told of each removal, for the lists of jobs.
    """
    path = settings.jobs_root / "sweep.json"
    after = ""
    try:
        after = Cursor.model_validate_json(path.read_bytes()).job
        if _now(settings.jobs_root) - path.stat().st_mtime < settings.sweep_seconds:
            return 0
    except (FileNotFoundError, ValueError):
        pass
    freed, end, last = 0, time.monotonic() + _MOST_SECONDS, after
    for name in islice(jobs(settings.jobs_root, after), _MOST_JOBS):
        for found in sweep(settings, [name]):
            freed += found.frees
            note(found)
        last = name
        if time.monotonic() > end:
            break
    freed += sum(found.frees for found in uploads.sweep(settings))
    with files.disk_errors(settings.jobs_root):
        files.write_replacing(path, Cursor(job=last).to_json())
    if freed:
        _log.info("disk freed", bytes=freed)
    return freed


def _now(root: Path) -> float:
    """Return the time by the clock of the file system that all hosts share."""
    probe = root / ".clock"
    probe.touch()
    return probe.stat().st_mtime
