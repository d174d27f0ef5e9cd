"""Which files a job reads: they must never be replaced, removed or renamed by it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.model import Job
from core.storage import files

#: Device and inode: one file under whatever name, by whatever link.
FileId = tuple[int, int]


def file_id(path: Path | str) -> FileId | None:
    """Identify the file that a path leads to; None when there is none."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def of(job: Job, options: Iterable[Mapping[str, Any]]) -> dict[FileId, Path]:
    """Return a job's sources, and every file that an option names by its path, whatever the option is called.

    :param options: the job's own, and those that its steps were planned with.
    """
    named = (text for one in (job.options, *options) for text in _texts(one))
    paths = [*(str(source.path) for source in job.sources), *named]
    return {found: Path(path) for path in reversed(paths) if (found := file_id(path)) and not Path(path).is_dir()}


def named(options: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the files that options name by their paths."""
    for text in _texts(options):
        if file_id(text) and not Path(text).is_dir():
            yield Path(text)


def strangers(job: Job, roots: Sequence[Path]) -> set[Path]:
    """Return the files that options of a job name which somebody has asked for by HTTP; a plugin's are not among them.

    Raises:
        UnsafePath: one lies outside the media roots, by a link or by itself.
    """
    found = set(named(job.options)) if job.guarded else set()
    for path in found:
        files.resolve(path.absolute(), roots or (Path(os.devnull),))
    return found


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in options; one that is JSON, as the command line gives it, is not looked into: a plan has it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Path):
        yield str(value)
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
