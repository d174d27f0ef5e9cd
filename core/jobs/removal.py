"""Removes a job that is over, at a person's word: files, record and its place in the lists."""

from __future__ import annotations

import time
from datetime import timedelta

from core.errors import JobConflict, NotWritable
from core.model import now
from core.retention import holdings
from core.retention.holdings import Removable
from core.settings import Settings
from core.storage import deliveries, job_state
from core.storage.job_folder import JobFolder
from core.storage.job_state import FINISH

#: After its last result a job's manifest is written within this time, or its writer has died.
_LAST_WORDS = timedelta(seconds=5)

#: Looks at whether the folder is gone, and seconds between two.
_TRIES = 20
_PAUSE = 0.1


def remove(settings: Settings, job: str) -> None:
    """Remove a job; what it has published in a folder that it named stays, it is the portal's.

    Raises:
        UnknownJob, OutOfReach
        JobConflict: it is not over, a portal is still to be told of it, or another job reads its files.
    """
    folder = JobFolder(settings.jobs_root, job)
    folder.job()
    if not _is_over(folder):
        raise JobConflict(f"job {job} is not over", remedy="cancel it first", job=job)
    if deliveries.due(folder):
        raise JobConflict(f"a portal is still to be told of job {job}", remedy="wait until it is, or given up", job=job)
    if holdings.is_held(folder):
        raise JobConflict(f"another job reads files of job {job}", remedy="wait until that is over", job=job)
    if settings.broker_url is None:
        _remove(folder)
        return
    from core.queue import job_rows
    from core.redis import connection

    with connection.opened(settings) as client:
        client.ping()
        _remove(folder)
        job_rows.remove(client, [job])


def _is_over(folder: JobFolder) -> bool:
    """Tell whether nothing more is written than a last line of the story: the manifest is there, or who should write it
    has died.
    """
    finished = job_state.result(folder, FINISH, folder.run())
    if finished is None:
        return False
    return folder.manifest.exists() or now() - finished.finished_at > _LAST_WORDS


def _remove(folder: JobFolder) -> None:
    finding = Removable(job=folder.id, what="record", why="asked for", paths=(folder.path,), frees=0)
    for _ in range(_TRIES):
        holdings.remove(folder, finding)
        if not folder.path.exists():
            return
        time.sleep(_PAUSE)  # its last line was just being written
    raise NotWritable(f"{folder.path}: could not be removed whole", remedy="remove it by hand", path=str(folder.path))
