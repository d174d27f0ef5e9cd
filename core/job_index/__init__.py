"""The list of jobs, fast however many there are: an index in Redis with a broker, else the jobs' folder itself."""

from __future__ import annotations

from core.job_index.folder_index import FolderIndex
from core.job_index.query import Counts, JobIndex, JobPage, JobQuery, QueueLine, parse_states
from core.queue.job_row import JobRow, RowState, StepProgress
from core.settings import Settings

__all__ = [
    "Counts",
    "JobIndex",
    "JobPage",
    "JobQuery",
    "JobRow",
    "QueueLine",
    "RowState",
    "StepProgress",
    "open_index",
    "parse_states",
]


def open_index(settings: Settings) -> JobIndex:
    """Return the list of this service's jobs; usable by many threads, for as long as the process lives.

    Raises:
        BadSettings: the broker isn't Redis.
    """
    if settings.broker_url is None:
        return FolderIndex(settings.jobs_root)
    from core.job_index.redis_index import RedisIndex

    return RedisIndex(settings)
