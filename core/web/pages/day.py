"""What the last day was like, and how long what waits will take at that pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from typing import Generic, TypeVar

from core.errors import AmphipodError
from core.job_index import JobIndex, JobQuery, JobRow, QueueLine, RowState
from core.jobs.detail import JobDetail
from core.model import StepSpec, now
from core.queue import names
from core.web.overview import Worker

#: Rows that are counted: so many lectures are a busy day, and a glance must not cost more.
_PAGES, _PAGE = 6, 500

#: Seconds for which it is shown again.
_FRESH = 30.0

_T = TypeVar("_T")

#: Jobs whose steps say how long such steps take.
_SAMPLES = 8


@dataclass(frozen=True)
class Day:
    """Jobs that ended within 24 hours."""

    done: int = 0
    failed: int = 0
    #: Of media that was done.
    seconds: float = 0.0
    #: Share of what was done that nothing had to be tried again for.
    first_try: float = 0.0
    #: How many were done in each hour, the last one last.
    hours: tuple[int, ...] = ()
    #: There were more than are counted here.
    more: bool = False
    #: The latest that were done.
    samples: tuple[str, ...] = field(default=(), repr=False)

    @property
    def most(self) -> int:
        return max(self.hours, default=1) or 1


@dataclass(frozen=True)
class Forecast:
    """How long a queue will take."""

    queue: str
    #: Until all that waits is done, and with one more host; None where nobody knows.
    seconds: float
    more: float | None


class Fresh(Generic[_T]):
    """Asks again only when the last answer is older than some seconds, and only one at a time."""

    def __init__(self, ask: Callable[[], _T], seconds: float = _FRESH) -> None:
        self._ask, self._seconds, self._lock = ask, seconds, Lock()
        self._last: tuple[float, _T] | None = None

    def __call__(self) -> _T:
        with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > self._seconds:
                self._last = (time.monotonic(), self._ask())
            return self._last[1]


def look(index: JobIndex) -> Day:
    """Count what ended in the last 24 hours."""
    end = now()
    since = end - timedelta(hours=24)
    rows: list[JobRow] = []
    query = JobQuery(order="ended", since=since, limit=_PAGE)
    for _ in range(_PAGES):
        page = index.page(query)
        rows += page.rows
        if page.next_cursor is None:
            break
        query = query.model_copy(update={"cursor": page.next_cursor})
    done = [row for row in rows if row.state is RowState.SUCCEEDED]
    hours = [0] * 24
    for row in done:
        hours[min(max(int((row.changed_at - since) / timedelta(hours=1)), 0), 23)] += 1
    return Day(
        done=len(done),
        failed=sum(row.state is RowState.FAILED for row in rows),
        seconds=sum(row.duration or 0 for row in done),
        first_try=sum(row.run == 1 and row.tries == 0 for row in done) / len(done) if done else 0.0,
        hours=tuple(hours),
        more=page.next_cursor is not None,
        samples=tuple(row.id for row in done[:_SAMPLES]),
    )


def pace(
    samples: Sequence[str], detail: Callable[[str], JobDetail], specs: Mapping[str, StepSpec]
) -> Mapping[str, float]:
    """Return the seconds that a step of each heavy queue took in these jobs, on average."""
    found: dict[str, list[float]] = {}
    for job in samples:
        try:
            steps = detail(job).steps
        except AmphipodError:
            continue
        for step in steps:
            spec = specs.get(step.name)
            if step.started_at and step.finished_at and spec and spec.heavy:
                found.setdefault(spec.queue, []).append((step.finished_at - step.started_at).total_seconds())
    return {queue: sum(all_) / len(all_) for queue, all_ in found.items()}


def forecast(lines: Sequence[QueueLine], took: Mapping[str, float], at_work: Sequence[Worker]) -> list[Forecast]:
    """Tell for each heavy queue on which something waits when it will be done."""
    found = []
    for queue in took:
        waiting = sum(line.jobs for line in lines if names.bare(line.name) == queue)
        hosts = {one.host for one in at_work if queue in one.queues and not one.fault}
        if waiting and hosts:
            seconds = waiting * took[queue]
            more = seconds / (len(hosts) + 1) if waiting > len(hosts) else None
            found.append(Forecast(queue, seconds / len(hosts), more))
    return found
