"""Removes a job that is over, at a person's word: files, record and its place in the lists."""

from __future__ import annotations

from core.errors import JobConflict
from core.retention import holdings
from core.retention.holdings import Finding
from core.settings import Settings
from core.storage import deliveries, manifest
from core.storage.job_folder import JobFolder
from core.storage.manifest import FINISH


def remove(settings: Settings, job: str) -> None:
    """Remove a job; what it has published in a folder that it named stays, it is the portal's.

    Raises:
        UnknownJob, OutOfReach
        JobConflict: it is not over, a portal is still to be told of it, or another job reads its files.
    """
    folder = JobFolder(settings.jobs_root, job)
    folder.job()
    if manifest.result(folder, FINISH, folder.run()) is None:
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


def _remove(folder: JobFolder) -> None:
    why = "asked for"
    holdings.remove(folder, Finding(job=folder.id, what="record", why=why, paths=(folder.path,), frees=0))
