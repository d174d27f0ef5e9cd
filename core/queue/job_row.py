"""One job as a list shows it: a row, from its files or from Redis, where `core/queue/job_rows.py` keeps it."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from core.model import Manifest, Model, Priority, State
from core.pipeline import graph
from core.queue import names
from core.retention import holdings
from core.storage import deliveries, job_state, scratch_folder
from core.storage.job_folder import JobFolder
from core.storage.job_state import FINISH

#: Characters of a title, and of a reason, in a list; a job's files have all of them.
_TITLE_LIMIT = 200
_REASON_LIMIT = 1000


class RowState(enum.StrEnum):
    """As `State`, and `delayed`: it waits for its next try. Also what a list is filtered by."""

    WAITING = "waiting"
    RUNNING = "running"
    DELAYED = "delayed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"

    @property
    def is_final(self) -> bool:
        return self not in OPEN


#: States of a job that is not over.
OPEN = (RowState.WAITING, RowState.RUNNING, RowState.DELAYED)


class StepProgress(Model):
    """How far a running step is; `done` and `total` in seconds of media, `speed` in media seconds a second."""

    done: float
    total: float
    speed: float
    host: str

    @property
    def fraction(self) -> float:
        """From 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds until it is done at this speed, None while that can't be told."""
        return (self.total - self.done) / self.speed if self.speed > 0 and self.total > 0 else None


class JobRow(Model):
    """What a list tells of a job."""

    id: str
    state: RowState
    #: What its portal calls it, else the name of its source.
    title: str
    source: str
    created_at: datetime
    #: When it came into this state; of one that waits, when it joined its queue.
    changed_at: datetime
    #: The steps that were asked for, in order, and how each stands.
    steps: Mapping[str, State]
    #: The step that it waits for or that runs, or of a failed job the one that failed.
    step: str | None = None
    #: Bare name of the queue that `step` is served from; None when the job is over.
    queue: str | None = None
    priority: Priority = "normal"
    #: 1, and one more for each retry.
    run: int = 1
    #: Who works on it now; several where a lecture is shared.
    hosts: tuple[str, ...] = ()
    progress: StepProgress | None = None
    #: Why it failed, or why it is put off.
    reason: str | None = None
    #: Of a delayed job, when it is tried again, and how many tries passing faults have cost.
    next_try: datetime | None = None
    tries: int = 0
    #: Seconds of media, once a step has measured it.
    duration: float | None = None
    #: Whether its portal knows of its end; None where nobody is to be told, or it is not over.
    told: Literal["due", "told", "given_up"] | None = None
    correlation_id: str
    #: Its files were removed, its record is left.
    swept: bool = False
    #: What else it can be found by: paths and the portal's own words; not shown.
    words: str = Field(default="", exclude=True)

    # Rows of another release are read as far as they are understood.
    model_config = ConfigDict(frozen=True, extra="ignore")


def row_of(folder: JobFolder) -> JobRow:
    """Return a job's row as its files tell it; what is not over waits, whoever works on it.

    Raises:
        UnknownJob: there is no such job.
    """
    whole = job_state.fold(folder)
    job = whole.job
    state = RowState(whole.state) if whole.state.is_final else RowState.WAITING
    step = _failed_step(whole) if state.is_final else graph.next_step(folder)
    return JobRow(
        id=job.id,
        state=state,
        title=shown(str(job.attributes.get("title") or job.source.path.name)),
        source=shown(job.source.path.name),
        created_at=job.created_at,
        changed_at=_changed_at(folder, whole),
        steps={name: _settled(one.state) for name, one in whole.steps.items()},
        step=step,
        queue=names.queue_of(step, job) if step and not state.is_final else None,
        priority=job.priority,
        run=whole.run,
        reason=shown(whole.reason, _REASON_LIMIT) if whole.reason else None,
        duration=_duration(whole),
        told=_told(folder, whole) if state.is_final else None,
        correlation_id=job.correlation,
        swept=holdings.swept(folder) is not None,
        words=" ".join(shown(one) for one in (*map(str, _paths(whole)), *_texts(job.attributes))),
    )


def working(folder: JobFolder, whole: Manifest) -> set[str]:
    """Return the steps that a living process works on, as the attempts' folders tell: for jobs that hold no lease."""
    if whole.state.is_final:
        return set()
    attempts = scratch_folder.attempts(folder)
    return {one.step.partition(".")[0] for one in attempts if not scratch_folder.is_abandoned(one)}


def shown(text: str, limit: int = _TITLE_LIMIT) -> str:
    """Return words that any encoding can carry, cut to what a list has room for."""
    whole = text.encode("utf-8", "replace").decode()
    return whole if len(whole) <= limit else f"{whole[: limit - 1]}…"


def _settled(state: State) -> State:
    return state if state.is_final else State.WAITING


def _failed_step(whole: Manifest) -> str | None:
    return next((name for name, step in whole.steps.items() if step.state is State.FAILED), None)


def _changed_at(folder: JobFolder, whole: Manifest) -> datetime:
    """Return the latest of the moments that the files know."""
    names = (*whole.job.steps, FINISH)
    found = (job_state.result(folder, name, whole.run) for name in names)
    asked = [folder.retry(whole.run - 1)] if whole.run > 1 else []
    asked += [folder.cancelled] if whole.state is State.CANCELLED else []
    return max([whole.job.created_at, *map(_at, asked), *(result.finished_at for result in found if result)])


def _at(path: Path) -> datetime:
    return datetime.fromisoformat(json.loads(path.read_bytes())["at"])


def _duration(whole: Manifest) -> float | None:
    facts = (step.facts.get("duration") for step in whole.steps.values())
    return next((float(one) for one in facts if isinstance(one, int | float)), None)


def _told(folder: JobFolder, whole: Manifest) -> Literal["due", "told", "given_up"] | None:
    if not whole.job.callbacks:
        return None
    states = {one.state for one in deliveries.known(folder)}
    if "given_up" in states:
        return "given_up"
    return "due" if not states or "due" in states else "told"


def _paths(whole: Manifest) -> list[Any]:
    return [*(source.path for source in whole.job.sources), *([whole.job.output] if whole.job.output else [])]


def _texts(attributes: Mapping[str, Any]) -> list[str]:
    return [str(value) for value in attributes.values() if isinstance(value, str | int) and not isinstance(value, bool)]
