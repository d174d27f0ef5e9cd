"""The list of jobs without a broker: their folder, newest first, read only as far as a page needs."""

from __future__ import annotations

import calendar
import re
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock

from core.errors import UnknownJob
from core.job_index.query import Counts, JobPage, JobQuery, QueueLine, make_cursor, read_cursor
from core.queue import job_row, job_rows, names
from core.queue.job_row import JobRow, RowState
from core.queue.job_rows import GROUPS
from core.storage import files, job_folder, job_state
from core.storage.job_folder import JobFolder

#: Jobs whose state is counted, the newest ones.
COUNTED = 1000

#: Seconds after which a page is answered with what was found.
_PATIENCE = 1.0

#: Rows of jobs that are over, which are kept in memory.
_KEPT = 30_000

#: Ids of ours begin with the second of the submission, which saves a look into the folder.
_DATED = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)-")


class FolderIndex:
    """See `JobIndex`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = Lock()
        #: Of jobs that are over, with the change of the folder at which they were read.
        self._over: OrderedDict[str, tuple[int, JobRow]] = OrderedDict()
        #: When jobs were submitted, in milliseconds.
        self._submitted: dict[str, int] = {}

    def page(self, query: JobQuery) -> JobPage:
        ranked = self._ranked(query.order)
        if query.since:
            oldest = job_rows.milliseconds(query.since.timestamp())
            ranked = [one for one in ranked if one[0] >= oldest]
        if query.cursor:
            place = read_cursor(query.cursor)
            ranked = [one for one in ranked if one < place]
        words = job_rows.folded(query.text).split()
        found: list[JobRow] = []
        end = time.monotonic() + _PATIENCE
        for number, (at, job) in enumerate(ranked, start=1):
            row = self._row(job)
            if row and _matches(row, query, words):
                found.append(row)
            if number < len(ranked) and (len(found) == query.limit or time.monotonic() > end):
                return JobPage(rows=tuple(found), next_cursor=make_cursor(at, job))
        return JobPage(rows=tuple(found))

    def rows(self, jobs: Sequence[str]) -> list[JobRow]:
        return [row for job in jobs if (row := self._row(job))]

    def counts(self) -> Counts:
        found = [row.state for _, job in self._ranked("created")[:COUNTED] if (row := self._row(job))]
        names = [_count_of(state) for state in found]
        return Counts(**{name: names.count(name) for name in set(names)})

    def lines(self) -> list[QueueLine]:
        return []

    def place(self, row: JobRow) -> int | None:  # noqa: ARG002  # the protocol's
        return None

    def _ranked(self, order: str) -> list[tuple[int, str]]:
        """Return all jobs, newest first, with their time in milliseconds; no file of theirs is read."""
        if order == "ended":
            return sorted(((at // 1_000_000, job) for job, at in job_folder.names(self._root).items()), reverse=True)
        submitted = dict(self._submissions(self._submitted))
        self._submitted = submitted
        return sorted(((at, job) for job, at in submitted.items()), reverse=True)

    def _submissions(self, known: Mapping[str, int]) -> Iterator[tuple[str, int]]:
        for job in job_folder.ids(self._root):
            with suppress(OSError):  # not stored whole, or just removed
                yield job, known.get(job) or _created_at(self._root, job)

    def _row(self, job: str) -> JobRow | None:
        folder = JobFolder(self._root, job)
        try:
            changed = folder.path.stat().st_mtime_ns
            with self._lock:
                known = self._over.get(job)
            if known and known[0] == changed:
                return known[1]
            row = _read(folder)
        except (UnknownJob, OSError, ValueError):
            return None
        if row.state.is_final and row.told != "due":
            with self._lock:
                self._over[job] = (changed, row)
                while len(self._over) > _KEPT:
                    self._over.popitem(last=False)
        return row


def _created_at(root: Path, job: str) -> int:
    if dated := _DATED.match(job):
        with suppress(ValueError):
            year, month, day, hour, minute, second = map(int, dated.groups())
            return calendar.timegm((year, month, day, hour, minute, second)) * 1000
    return JobFolder(root, job).request.stat().st_mtime_ns // 1_000_000


def _read(folder: JobFolder) -> JobRow:
    row = job_row.row_of(folder)
    if row.state.is_final:
        return row
    whole = job_state.fold(folder)
    busy = job_row.working(folder, whole)
    if not busy:
        return row
    step = row.step if row.step in busy else min(busy)
    queue = names.queue_of(step, whole.job)
    about = {"state": RowState.RUNNING, "step": step, "queue": queue, "hosts": (files.host_name(),)}
    return row.model_copy(update=about)


def _matches(row: JobRow, query: JobQuery, words: Sequence[str]) -> bool:
    if query.states and row.state not in query.states:
        return False
    if query.order == "ended" and not row.state.is_final:
        return False
    if (query.queue and row.queue != query.queue) or (query.step and row.step != query.step):
        return False
    text = job_rows.searched(row) if words else ""
    return all(word in text for word in words)


def _count_of(state: RowState) -> str:
    return str(state) if GROUPS[state] == "open" else GROUPS[state]
