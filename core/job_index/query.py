"""What is asked of the list of jobs, and the page that answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

from pydantic import Field

from core.errors import BadCall
from core.model import Model
from core.queue.job_row import OPEN, JobRow, RowState

#: Rows of a page, at the most.
LARGEST_PAGE = 500

#: Words that stand for several states.
_FAMILIES = {"done": (RowState.SUCCEEDED, RowState.SUPERSEDED), "open": OPEN}


class JobQuery(Model):
    """Which jobs are wanted; what is not said does not matter."""

    states: tuple[RowState, ...] = ()
    #: Bare name of the queue that the job waits on, or its running step was served from.
    queue: str | None = None
    #: Step at which it waits, runs or has failed.
    step: str | None = None
    #: Words that must all be found: in id, title, file names, reason, the portal's words; case and accents don't count.
    text: str = ""
    #: No older ones, by `order`.
    since: datetime | None = None
    #: Newest first by when they were submitted, or by when they ended (only those that have).
    order: Literal["created", "ended"] = "created"
    #: `next_cursor` of the page before.
    cursor: str | None = None
    limit: int = Field(default=50, ge=1, le=LARGEST_PAGE)


class JobPage(Model):
    """Rows, newest first. Jobs that arrive between two pages shift nothing."""

    rows: tuple[JobRow, ...]
    #: None on the last page. A page may have fewer rows than asked, even none, and still have a next one: so much was
    #: looked through in the time that a page may take.
    next_cursor: str | None = None


class Counts(Model):
    """How many jobs there are."""

    waiting: int = 0
    running: int = 0
    delayed: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0


class QueueLine(Model):
    """What waits on a queue; `name` has its priority (`encoding.high`)."""

    name: str
    jobs: int
    #: When the one that waits longest joined it; None when nothing waits.
    oldest: datetime | None = None


class JobIndex(Protocol):
    """The list of jobs: in Redis with a broker, else the folder.

    Each method raises OutOfReach or BadSettings where Redis can't be asked.
    """

    def page(self, query: JobQuery) -> JobPage:
        """Return a page.

        Raises:
            BadCall: the cursor is none of ours.
        """

    def rows(self, jobs: Sequence[str]) -> list[JobRow]:
        """Return the rows of these jobs as they stand now, in this order, without those that nobody knows."""

    def counts(self) -> Counts:
        """Count the jobs by state; without a broker at most the `folder_index.COUNTED` newest."""

    def lines(self) -> list[QueueLine]:
        """Return the queues and what waits on them; none without a broker."""

    def place(self, row: JobRow) -> int | None:
        """Return a waiting job's place among those that wait on its queue, 1 for the next; None if it has none."""


def parse_states(words: Sequence[str]) -> tuple[RowState, ...]:
    """Read states as people write them: `done` is succeeded or superseded, `open` all that is not over.

    Raises:
        BadCall
    """
    found: dict[RowState, None] = {}
    for word in words:
        try:
            found.update(dict.fromkeys(_FAMILIES.get(word) or (RowState(word),)))
        except ValueError as error:
            there_are = ", ".join([*RowState, *_FAMILIES])
            raise BadCall(f"{word!r} is no state of a job", remedy=f"there are {there_are}") from error
    return tuple(found)


def make_cursor(at: int, job: str) -> str:
    return f"{at}.{job}"


def read_cursor(cursor: str) -> tuple[int, str]:
    """Return the moment, and the id, of the last row before a page.

    Raises:
        BadCall
    """
    at, _, job = cursor.partition(".")
    if not (at.isascii() and at.isdigit() and len(at) <= 18 and job):
        raise BadCall(f"cursor {cursor!r} is none of this list", remedy="begin again without one")
    return int(at), job
