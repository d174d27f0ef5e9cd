"""Tells whether this host sees what a job is about: an unmounted media root looks like a missing source."""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import HostUnfit
from core.model import Job
from core.settings import Settings


def check(job: Job, settings: Settings) -> None:
    """Make sure, before a source is called missing, that its media root is mounted.

    Raises:
        HostUnfit: the source isn't there, nor anything else in its root.
    """
    for source in job.sources:
        if source.path.exists():
            continue
        for root in _roots_of(source.path, settings):
            if not _has_entries(root):
                raise HostUnfit(f"{root} is empty or missing on this host", remedy="mount it", path=str(root))
    check_output(job, settings)


def check_output(job: Job, settings: Settings) -> None:
    """Make sure that what is published does not end on a local disk, below a root that isn't mounted.

    Raises:
        HostUnfit
    """
    if job.output is None or job.output.exists():
        return
    for root in _roots_of(job.output, settings):
        if not root.is_dir():
            raise HostUnfit(f"{root} is missing on this host", remedy="mount it", path=str(root))
        if any(source.path.is_relative_to(root) for source in job.sources) and not _has_entries(root):
            raise HostUnfit(f"{root} is empty on this host", remedy="mount it", path=str(root))


def _roots_of(path: Path, settings: Settings) -> list[Path]:
    """Return the media roots that a resolved path lies under."""
    return [root for root in settings.media_roots if path.is_relative_to(root) or path.is_relative_to(root.resolve())]


def _has_entries(root: Path) -> bool:
    try:
        with os.scandir(root) as entries:
            return next(entries, None) is not None
    except OSError:
        return False
