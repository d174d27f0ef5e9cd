"""Makes the index in Redis agree with the files: all of it by hand, what is missing now and then by a worker."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UnknownJob
from core.queue import job_row, job_rows
from core.queue.job_row import JobRow
from core.retention.holdings import Removable
from core.storage import job_folder
from core.storage.job_folder import JobFolder

if TYPE_CHECKING:
    import redis

#: Jobs that are read at the same time, and that go to Redis together.
_READERS = 16
_BATCH = 500

#: Jobs that a worker adds in one look; the next look goes on.
_MOST = 5000


def rebuild(client: redis.Redis, root: Path) -> tuple[int, int]:
    """Index all jobs anew while the service goes on. Returns how many there are, and how many were forgotten."""
    known = job_rows.known(client)  # first: who comes meanwhile is not gone
    names = job_folder.ids(root)
    written = _write(client, root, names)
    gone = sorted(known.difference(names))
    job_rows.remove(client, gone)
    return written, len(gone)


def mend(client: redis.Redis, root: Path, known: Collection[str], names: Collection[str]) -> None:
    """Add the jobs that no list has, and forget those that are gone; `known` was read before `names`."""
    missing = [name for name in names if name not in known]
    _write(client, root, missing[:_MOST])
    job_rows.remove(client, [job for job in known if job not in names])


def refresh(client: redis.Redis, root: Path, jobs: Sequence[str]) -> None:
    """Correct what lists take for unfinished though the files know better: Redis was away when they ended."""
    rows = job_rows.read(client, jobs)
    _write(client, root, [job for job, row in rows.items() if not row.state.is_final])


def note_swept(client: redis.Redis, root: Path, found: Removable) -> None:
    """Have lists follow a sweep."""
    if found.what == "record":
        job_rows.remove(client, [found.job])
    elif found.what == "files":
        _write(client, root, [found.job])


def _write(client: redis.Redis, root: Path, names: Sequence[str]) -> int:
    written = 0
    with ThreadPoolExecutor(_READERS, thread_name_prefix="index") as pool:
        for first in range(0, len(names), _BATCH):
            found = pool.map(lambda name: _row(root, name), names[first : first + _BATCH])
            rows = [row for row in found if row]
            job_rows.write(client, rows)
            written += len(rows)
    return written


def _row(root: Path, name: str) -> JobRow | None:
    """Return a row, None for what is not stored whole, gone meanwhile or no job at all."""
    try:
        return job_row.row_of(JobFolder(root, name))
    except (UnknownJob, OSError, ValueError):
        return None
