"""The list of jobs as the process sees it that does them: the folder's, with how far the one at work is."""

from __future__ import annotations

from collections.abc import Sequence

from core.job_index import Counts, JobIndex, JobPage, JobQuery, JobRow, QueueLine, RowState
from core.storage import files
from core.web.local.worker import LocalWorker

#: What the one queue is called where there is no broker.
LINE = "local"


class LocalIndex:
    """See `JobIndex`."""

    def __init__(self, folder: JobIndex, worker: LocalWorker) -> None:
        self._folder = folder
        self._worker = worker

    def page(self, query: JobQuery) -> JobPage:
        found = self._folder.page(query)
        return found.model_copy(update={"rows": tuple(map(self._now, found.rows))})

    def rows(self, jobs: Sequence[str]) -> list[JobRow]:
        return [self._now(row) for row in self._folder.rows(jobs)]

    def counts(self) -> Counts:
        return self._folder.counts()

    def lines(self) -> list[QueueLine]:
        waiting = self._worker.line()
        first = self._folder.rows(waiting[:1])
        return [QueueLine(name=LINE, jobs=len(waiting), oldest=first[0].changed_at if first else None)]

    def place(self, row: JobRow) -> int | None:
        line = self._worker.line()
        return line.index(row.id) + 1 if row.id in line else None

    def _now(self, row: JobRow) -> JobRow:
        at_work = self._worker.at_work()
        if at_work is None or at_work.job != row.id or row.state.is_final:
            return row
        about = {
            "state": RowState.RUNNING,
            "step": at_work.step,
            "hosts": (files.host_name(),),
            "changed_at": at_work.since,
            "progress": at_work.progress,
        }
        return row.model_copy(update=about)
