"""One job for a person: all that its files, Redis and the workers tell, in one model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from core import jobs
from core import settings as settings_module
from core.errors import OutOfReach, UnknownJob
from core.job_index import JobRow, RowState, StepProgress, open_index
from core.jobs import Status, StepStatus
from core.model import Engine, FilePath, Job, Manifest, Model, Plan, State, StepResult
from core.pipeline import parts
from core.queue import job_row
from core.retention import holdings
from core.settings import Settings
from core.storage import deliveries, job_state, scratch_folder
from core.storage.job_folder import JobFolder
from core.storage.job_state import FINISH


class Attempt(Model):
    """One try at a step; those that crashed are listed until the job is over, then only counted."""

    #: Counted through all runs.
    number: int
    #: 1, and one more for each retry; None of an attempt that left no result.
    run: int | None = None
    state: State
    host: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str | None = None


class Option(Model):
    """An option that a step was given, and who said so: a plugin, "settings" or "job"; None is a default."""

    name: str
    value: Any
    origin: str | None = None


class StepDetail(Model):
    """How one step stands."""

    name: str
    state: State
    #: Attempts that were begun, through all runs.
    tries: int = 0
    attempts: tuple[Attempt, ...] = ()
    #: Of the result that stands.
    host: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    #: Media seconds a second, over the whole of a step that is done.
    speed: float | None = None
    #: While it runs.
    progress: StepProgress | None = None
    seconds_left: float | None = None
    #: How many parts it was divided into, and how many of them are done.
    parts: int = 0
    parts_done: int = 0
    reason: str | None = None
    remedy: str | None = None
    #: In a line, what its engine says for people: the fact `summary`.
    summary: str = ""
    notes: tuple[str, ...] = ()
    #: Who did it, or is to.
    engine: Engine | None = None
    options: tuple[Option, ...] = ()


class FileDetail(Model):
    """A file that a job has made."""

    step: str
    kind: str
    #: Relative to the folder that it is published in; unique in a job.
    name: str
    size: int | None = None
    media_type: str
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    language: str | None = None
    codecs: str | None = None


class CallbackDetail(Model):
    """What a portal is told, and whether it has been."""

    id: str
    kind: str
    url: str
    #: waiting: the job is not over. withheld: its contract has no word for how the job ended.
    state: Literal["waiting", "due", "delivered", "withheld", "given_up"]
    tries: int = 0
    #: The receiver's last answer, or why there was none.
    answer: str = ""
    answered_at: datetime | None = None


class JobDetail(Model):
    """A job. What only its files tell is empty where they can't be seen from here (`files_seen`)."""

    row: JobRow
    #: Absolute paths.
    sources: tuple[FilePath, ...] = ()
    #: Folder that the job names for its files; None: they stay in its own.
    output: FilePath | None = None
    published_in: FilePath | None = None
    #: As in `amphipod status`: a queue that nobody reads, or the word that the job's files were removed.
    unserved: str | None = None
    swept: str | None = None
    #: Place among those that wait on its queue, 1 for the next.
    place: int | None = None
    reason: str | None = None
    remedy: str | None = None
    language: str = "auto"
    finished_at: datetime | None = None
    steps: tuple[StepDetail, ...] = ()
    files: tuple[FileDetail, ...] = ()
    callbacks: tuple[CallbackDetail, ...] = ()
    #: As the submitter wrote them, for all steps.
    options: Mapping[str, Any] = {}
    attributes: Mapping[str, Any] = {}
    files_seen: bool = True


def detail(job: str, *, settings: Settings | None = None) -> JobDetail:
    """Tell all about a job.

    Raises:
        UnknownJob: neither Redis nor the files know it.
        OutOfReach: Redis does not answer, and the files do not tell the end.
    """
    settings = settings or settings_module.load()
    status = jobs.status(job, settings=settings)
    folder = JobFolder(settings.jobs_root, job)
    index = open_index(settings)
    try:
        whole = job_state.fold(folder)
    except UnknownJob:
        row = next(iter(index.rows([job])), None) or _unseen(status)
        steps = tuple(_step_of_status(name, one) for name, one in status.steps.items())
        return JobDetail(
            row=row,
            unserved=status.unserved,
            place=index.place(row),
            reason=status.reason,
            steps=steps,
            files_seen=False,
        )
    try:
        row = next(iter(index.rows([job])), None) or job_row.row_of(folder)
        place = index.place(row)
    except OutOfReach:  # the job is over, and its files tell all
        row, place = job_row.row_of(folder), None
    return _of_files(folder, whole, status, row, place)


def file_path(folder: JobFolder, whole: Manifest, name: str) -> Path | None:
    """Return where a job's file lies: in the job's own folder, else where it was published; None if it is none of its.

    Only what a result names is answered, so no name leads anywhere else; the file may have been removed since.
    """
    for step in whole.steps.values():
        if step.folder and any(artifact.path == name for artifact in step.artifacts):
            own = folder.path / step.folder / name
            if own.exists() or whole.published_in is None:
                return own
            return whole.published_in / name
    return None


def _of_files(folder: JobFolder, whole: Manifest, status: Status, row: JobRow, place: int | None) -> JobDetail:
    job = whole.job
    finished = job_state.result(folder, FINISH, whole.run)
    gone = holdings.swept(folder)
    remedy = finished.remedy if finished else None
    return JobDetail(
        row=row,
        sources=tuple(source.path for source in job.sources),
        output=job.output,
        published_in=whole.published_in,
        unserved=status.unserved,
        swept=gone.words if gone else None,
        place=place,
        reason=_without(whole.reason, remedy) or (row.reason if row.state is RowState.DELAYED else None),
        remedy=remedy,
        language=job.language,
        finished_at=finished.finished_at if finished else None,
        steps=tuple(_step(folder, whole, name, status.steps[name]) for name in job.steps),
        files=() if gone and not whole.published_in else tuple(_files(whole)),
        callbacks=tuple(_callbacks(folder, job, whole.run)),
        options=job.options,
        attributes=job.attributes,
    )


def _step(folder: JobFolder, whole: Manifest, name: str, status: StepStatus) -> StepDetail:
    result = job_state.result(folder, name, whole.run)
    attempts = tuple(_attempts(folder, name, whole.run))
    divided = parts.division(folder, name)
    plan = _plan(folder, name)
    far = status.progress
    return StepDetail(
        name=name,
        state=status.state,
        tries=max((one.number for one in attempts), default=0),
        attempts=attempts,
        host=result.host if result else far.host if far else None,
        started_at=result.started_at if result else None,
        finished_at=result.finished_at if result else None,
        speed=_speed(result),
        progress=far,
        seconds_left=far.seconds_left if far else None,
        parts=len(divided.parts) if divided else 0,
        parts_done=len(parts.results(folder, name, divided)) if divided else 0,
        reason=_without(status.reason, result.remedy if result else None),
        remedy=result.remedy if result else None,
        summary=str(result.facts.get("summary", "")) if result else "",
        notes=result.notes if result else (),
        engine=result.engine if result and result.engine else plan.engines[0] if plan and plan.engines else None,
        options=_options(plan),
    )


def _attempts(folder: JobFolder, step: str, runs: int) -> Iterator[Attempt]:
    """Yield what results and attempts' folders tell, in order."""
    found = {}
    for run in range(1, runs + 1):
        try:
            one = StepResult.model_validate_json(folder.result(step, run).read_bytes())
        except FileNotFoundError:
            continue
        found[one.attempt] = Attempt(
            number=one.attempt,
            run=run,
            state=one.state,
            host=one.host,
            started_at=one.started_at,
            finished_at=one.finished_at,
            reason=_without(one.reason, one.remedy),
        )
    for scratch in scratch_folder.attempts(folder, step):
        if scratch.attempt not in found:
            reason = scratch_folder.failure_reason(scratch)
            dead = reason is not None or scratch_folder.is_abandoned(scratch)
            state = State.FAILED if dead else State.RUNNING
            found[scratch.attempt] = Attempt(
                number=scratch.attempt, state=state, host=_host(scratch.owner), reason=reason
            )
    return (found[number] for number in sorted(found))


def _host(owner: Path) -> str | None:
    try:
        return str(json.loads(owner.read_bytes())["host"])
    except (OSError, ValueError, KeyError):
        return None


def _plan(folder: JobFolder, step: str) -> Plan | None:
    try:
        return Plan.model_validate_json(folder.plan(step).read_bytes())
    except FileNotFoundError:
        return None


def _options(plan: Plan | None) -> tuple[Option, ...]:
    if plan is None:
        return ()
    return tuple(Option(name=name, value=value, origin=plan.origins.get(name)) for name, value in plan.options.items())


def _speed(result: StepResult | None) -> float | None:
    """Return the media seconds that a step did in a second."""
    duration = result.facts.get("duration") if result else None
    if result is None or not isinstance(duration, int | float):
        return None
    elapsed = (result.finished_at - result.started_at).total_seconds()
    return duration / elapsed if elapsed > 0 else None


def _without(reason: str | None, remedy: str | None) -> str | None:
    """Return a reason that ends with its remedy without it."""
    return reason.removesuffix(f": {' '.join(remedy.split())}") if reason and remedy else reason


def _files(whole: Manifest) -> Iterator[FileDetail]:
    for step, one in whole.steps.items():
        for artifact in one.artifacts:
            about = artifact.model_dump(include=set(FileDetail.model_fields) & set(type(artifact).model_fields))
            yield FileDetail(step=step, name=artifact.path, **about)


def _callbacks(folder: JobFolder, job: Job, run: int) -> Iterator[CallbackDetail]:
    known = {one.id: one for one in deliveries.known(folder)}
    for one in known.values():
        about = one.model_dump(include={"id", "state", "tries", "answer", "answered_at"})
        yield CallbackDetail(kind=one.callback.kind, url=one.callback.url, **about)
    for number, callback in enumerate(job.callbacks, start=1):
        if f"{run}.{number}" not in known:
            yield CallbackDetail(id=f"{run}.{number}", kind=callback.kind, url=callback.url, state="waiting")


def _step_of_status(name: str, status: StepStatus) -> StepDetail:
    far = status.progress
    return StepDetail(
        name=name,
        state=status.state,
        host=far.host if far else None,
        progress=far,
        seconds_left=far.seconds_left if far else None,
        reason=status.reason,
    )


def _unseen(status: Status) -> JobRow:
    """Return the row of a job that only Redis' word of the moment knows."""
    from core.model import now

    moment = now()
    return JobRow(
        id=status.id,
        state=RowState(status.state),
        title=status.id,
        source="",
        created_at=moment,
        changed_at=moment,
        steps={name: one.state for name, one in status.steps.items()},
        reason=status.reason,
        correlation_id=status.id,
    )
