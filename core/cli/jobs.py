"""Commands about one job on the queue: submit, status, wait, cancel, retry, and resume for all."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, cast

import typer

from core import jobs
from core.cli import progress
from core.cli.options import (
    CorrelationOption,
    EngineOption,
    JsonOption,
    LanguageOption,
    NotifyOption,
    OptionsOption,
    OutOption,
    PresentationOption,
    ReplaceOption,
    parse_correlation,
    parse_engines,
    parse_options,
    parse_steps,
    parse_webhooks,
)
from core.cli.options import State as Call
from core.context import Progress
from core.jobs import Status
from core.model import Priority, State
from core.settings import Settings

#: Seconds for which a queue may be without a worker before whoever waits is told.
_PATIENCE = 3.0

JobArgument = Annotated[str, typer.Argument(help="The job's id, as `submit` printed it.")]


def submit(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The lecture, under a media root that the workers see too.")],
    presentation: PresentationOption = None,
    out: OutOption = None,
    replace: ReplaceOption = False,
    steps: Annotated[
        str | None, typer.Option("--steps", help="Comma-separated: compose,encode,transcribe,emit; by default encode.")
    ] = None,
    language: LanguageOption = "auto",
    option: OptionsOption = None,
    engine: EngineOption = None,
    priority: Annotated[str, typer.Option("--priority", help="high, normal or low.")] = "normal",
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="The same key and request, however often, are one job.")
    ] = None,
    notify: NotifyOption = None,
    correlation_id: CorrelationOption = None,
    wait_for_it: Annotated[bool, typer.Option("--wait", help="Wait, with progress, as `amphipod wait` does.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Have workers on other machines process a file, and print the job's id."""
    host = cast("Call", context.obj).host(log_level="error")
    job = jobs.submit(
        _from_here(file),
        presentation=_from_here(presentation) if presentation else None,
        steps=parse_steps(steps) if steps else None,
        output=out.absolute() if out else None,
        replace=replace,
        language=language,
        options=parse_options(option or []),
        engines=parse_engines(engine or []),
        priority=_priority(priority),
        idempotency_key=idempotency_key,
        callbacks=parse_webhooks(notify or []),
        correlation_id=parse_correlation(correlation_id),
        settings=host.settings,
        host=host,
    )
    typer.echo(json.dumps({"id": job}) if as_json else job)
    if wait_for_it:
        _wait(host.settings, job, as_json=as_json)


def status(context: typer.Context, job: JobArgument, as_json: JsonOption = False) -> None:
    """Tell how a job stands: waiting, running, succeeded, failed (and why), cancelled or superseded."""
    _print(jobs.status(job, settings=_settings(context)), as_json=as_json)


def wait(context: typer.Context, job: JobArgument, as_json: JsonOption = False) -> None:
    """Wait for a job, with progress, from any host that sees Redis. Exit code 0 only if it succeeded."""
    _wait(_settings(context), job, as_json=as_json)


def cancel(context: typer.Context, job: JobArgument, as_json: JsonOption = False) -> None:
    """Stop a job, waiting or running. Nothing of it is published."""
    settings = _settings(context)
    jobs.cancel(job, settings=settings)
    _print(jobs.status(job, settings=settings), as_json=as_json)


def retry(context: typer.Context, job: JobArgument, as_json: JsonOption = False) -> None:
    """Run again what failed or was cancelled; what succeeded is kept."""
    settings = _settings(context)
    jobs.retry(job, settings=settings)
    _print(jobs.status(job, settings=settings), as_json=as_json)


def tell(context: typer.Context, job: JobArgument) -> None:
    """Tell the portal once more of a job's end, after it was given up (`amphipod jobs` lists those)."""
    jobs.tell(job, settings=_settings(context))


def resume(
    context: typer.Context,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="The jobs root was moved: from now on this host's is the service's.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Put jobs back on their queues after Redis has lost its data: what is unfinished, and whom to tell of the rest.

    Safe at any time. A worker of `callbacks` does it too, every few minutes.
    """
    resumed = jobs.resume(settings=_settings(context), adopt=adopt)
    typer.echo(json.dumps({"resumed": resumed}) if as_json else f"{len(resumed)} jobs put back")


def _from_here(file: Path) -> Path:
    """Return a path of this folder, or one below a media root as it was typed."""
    return file.resolve() if file.exists() else file


def _settings(context: typer.Context) -> Settings:
    return cast("Call", context.obj).settings()


def _priority(text: str) -> Priority:
    if text not in ("high", "normal", "low"):
        raise typer.BadParameter(f"{text!r}: there are high, normal and low", param_hint="--priority")
    return cast("Priority", text)


def _print(current: Status, *, as_json: bool) -> None:
    if as_json:
        typer.echo(current.to_json(), nl=False)
        return
    typer.echo(f"{current.id} {current.state}{f': {current.reason}' if current.reason else ''}")
    for name, step in current.steps.items():
        far = step.progress
        words = f" {far.done / far.total:.0%} at {far.speed:.1f}x on {far.host}" if far and far.total else ""
        typer.echo(f"  {name:<10} {step.state}{words}{f': {step.reason}' if step.reason else ''}")
    if current.swept:
        typer.echo(f"  {current.swept}")
    if current.unserved:
        typer.echo(f"  {_start(current.unserved)}")


def _start(queue: str) -> str:
    return f"it waits, and no worker of `{queue}` is running: start one with `amphipod worker {queue}`"


class _Unserved:
    """Says once which worker is missing, and again when it is another; one that restarts has a moment to come back."""

    def __init__(self, shown: progress.Show) -> None:
        self._shown = shown
        self._queue: str | None = None
        self._since = time.monotonic()
        self._said: str | None = None

    def look(self, current: Status) -> None:
        if current.unserved != self._queue:
            self._queue, self._since = current.unserved, time.monotonic()
        if self._queue and self._queue != self._said and time.monotonic() - self._since >= _PATIENCE:
            self._said = self._queue
            self._shown.say(_start(self._queue))


def _wait(settings: Settings, job: str, *, as_json: bool) -> None:
    first = jobs.status(job, settings=settings)
    last = first
    with progress.show(tuple(first.steps) or ("encode",)) as shown:
        unserved = _Unserved(shown)
        for last in jobs.watch(job, settings=settings):
            unserved.look(last)
            for name, step in last.steps.items():
                if step.progress:
                    shown.progress(name, Progress(step.progress.done, step.progress.total, step.progress.speed))
        for name, step in last.steps.items():
            shown.ended(name, step.state)
    _print(last, as_json=as_json)
    if last.state is not State.SUCCEEDED:
        raise typer.Exit(1)
