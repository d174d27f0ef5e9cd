"""`amphipod show`: all about one job."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, cast

import typer

from core.cli.terminal.options import Call, JsonOption
from core.cli.terminal.plain import plain
from core.job_index import RowState
from core.jobs.detail import Attempt, JobDetail, StepDetail, detail
from core.model import State


def show(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help="The job's id, as `submit` printed it.")],
    as_json: JsonOption = False,
) -> None:
    """Show one job: its times, source and output, each step with attempts, place in the queue, reason, files, options.

    What happened when is told by `amphipod logs ID`.
    """
    found = detail(job, settings=cast("Call", context.obj).settings())
    if as_json:
        typer.echo(found.to_json(), nl=False)
        return
    typer.echo("\n".join(_lines(found)))


def _lines(found: JobDetail) -> Iterator[str]:
    row = found.row
    yield f"{row.id}  {_state(found)}  {plain(row.title)}"
    yield from (_fact("source", plain(str(path))) for path in found.sources)
    yield _fact("submitted", _time(row.created_at) + (f", run {row.run}" if row.run > 1 else ""))
    if found.finished_at:
        took = timedelta(seconds=round((found.finished_at - row.created_at).total_seconds()))
        yield _fact("over", f"{_time(found.finished_at)}, {took} later")
    elif row.state is RowState.DELAYED and row.next_try:
        yield _fact("next try", f"{_time(row.next_try)}, after {row.tries} tries")
    if found.place:
        yield _fact("place", f"{found.place} on `{row.queue}`")
    if found.unserved:
        yield _fact(
            "waits", f"no worker of `{found.unserved}` is running: start one with `amphipod worker {found.unserved}`"
        )
    yield from _reason(found)
    for step in found.steps:
        yield from _step(step)
    yield from _files(found)
    for one in found.callbacks:
        yield _fact("callback", f"{one.kind} {plain(one.url)}  {one.state.replace('_', ' ')}{_answer(one.answer)}")
    if row.correlation_id != row.id:
        yield _fact("correlation", plain(row.correlation_id))
    if not found.files_seen:
        yield _fact("files", "its folder can't be seen from this host")


def _state(found: JobDetail) -> str:
    return "done" if found.row.state is RowState.SUCCEEDED else str(found.row.state)


def _reason(found: JobDetail) -> Iterator[str]:
    if found.reason:
        yield _fact("reason", plain(found.reason))
    if found.remedy:
        yield _fact("remedy", plain(found.remedy))
    if found.swept:
        yield _fact("files", found.swept)


def _step(step: StepDetail) -> Iterator[str]:
    yield f"{step.name:<12} {step.state:<10} {'  '.join(_facts(step))}".rstrip()
    for attempt in step.attempts:
        if attempt.state is State.FAILED:
            yield f"  {_attempt(attempt)}"
    if step.summary:
        yield f"  {plain(step.summary)}"
    yield from (f"  {plain(note)}" for note in step.notes)
    said = [option for option in step.options if option.origin]
    if said:
        yield f"  {', '.join(f'{plain(one.name)}={plain(str(one.value))} ({one.origin})' for one in said)}"


def _facts(step: StepDetail) -> Iterator[str]:
    if far := step.progress:
        left = f", {timedelta(seconds=round(step.seconds_left))} left" if step.seconds_left is not None else ""
        yield f"{far.fraction:.0%} at {far.speed:.1f}x{left}"
    if step.started_at and step.finished_at:
        took = (step.finished_at - step.started_at).total_seconds()
        yield f"{_time(step.started_at)}, {took:.1f} s"
    if step.speed and not step.progress:
        yield f"{step.speed:.1f}x"
    if step.host:
        yield f"on {step.host}"
    if step.parts:
        yield f"{step.parts_done} of {step.parts} parts"
    if step.tries > 1:
        yield f"{step.tries} attempts"
    if step.engine:
        yield f"by {step.engine.plugin} ({step.engine.distribution} {step.engine.version})"


def _attempt(attempt: Attempt) -> str:
    where = f" on {attempt.host}" if attempt.host else ""
    when = f" at {_time(attempt.finished_at)}" if attempt.finished_at else ""
    return f"attempt {attempt.number} failed{where}{when}: {plain(attempt.reason or 'its process died')}"


def _files(found: JobDetail) -> Iterator[str]:
    place = found.published_in or found.output
    if place:
        yield _fact("published" if found.published_in else "output", plain(str(place)))
    for file in found.files:
        size = f"{file.size / 1e6:.1f} MB" if file.size is not None else ""
        yield f"  {plain(file.name):<32} {file.kind:<14} {size:>10}  {file.media_type}"


def _answer(answer: str) -> str:
    return f": {plain(answer)}" if answer else ""


def _fact(name: str, words: str) -> str:
    return f"{name:<12} {words}"


def _time(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
