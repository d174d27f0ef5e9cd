"""Commands about one job on the queue: submit, status, wait, cancel, retry, and resume for all."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, cast

import typer

from core import jobs
from core.cli.terminal import foreground, paths, progress, summary
from core.cli.terminal.options import (
    Call,
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
    sources_of,
)
from core.cli.terminal.plain import plain
from core.context import Progress
from core.errors import BadCall, BadSettings, UnknownJob
from core.jobs import Status, recovery
from core.model import Priority, State
from core.pipeline import in_process, lifecycle
from core.pipeline.planning import Host
from core.settings import Settings
from core.storage import deliveries, job_folder, job_state
from core.storage.job_folder import JobFolder

#: Seconds for which a queue may be without a worker before whoever waits is told.
_PATIENCE = 3.0

JobArgument = Annotated[str, typer.Argument(help="The job's id, as `submit` printed it.")]


def submit(
    context: typer.Context,
    file: Annotated[list[Path], typer.Argument(help="The lectures, under a media root that the workers see too.")],
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
    """Have workers on other machines process files, and print the id of each one's job.

    Several files get a folder each under --out. Relative paths count from the current folder.
    """
    from core.redis import connection

    host = cast("Call", context.obj).host(log_level="error")
    connection.url(host.settings)
    roots = host.settings.media_roots
    if len(file) > 1 and idempotency_key:
        raise BadCall("--idempotency-key belongs to one FILE", remedy="submit them one by one")
    takes = sources_of(file, presentation, roots)
    homes = paths.folders([one[0].path for one in takes], paths.output(out, roots) if out else None)
    sent = []
    for sources, home in zip(takes, homes, strict=True):
        job = jobs.submit(
            sources[0].path,
            presentation=sources[1].path if len(sources) > 1 else None,
            steps=parse_steps(steps, host.manager) if steps else None,
            output=home,
            replace=replace,
            language=language,
            options=parse_options(option or []),
            engines=parse_engines(engine or [], host.manager),
            priority=_priority(priority),
            idempotency_key=idempotency_key,
            callbacks=parse_webhooks(notify or []),
            correlation_id=parse_correlation(correlation_id),
            settings=host.settings,
            host=host,
        )
        typer.echo(json.dumps({"id": job}) if as_json else job)
        sent.append(job)
    if wait_for_it:
        ended = [_wait(host.settings, job, as_json=as_json) for job in sent]
        raise typer.Exit(int(not all(ended)))


def status(context: typer.Context, job: JobArgument, as_json: JsonOption = False) -> None:
    """Tell how a job stands: waiting, running, succeeded, failed (and why), cancelled or superseded."""
    settings = _settings(context)
    _print(settings, jobs.status(job, settings=settings), as_json=as_json)


def wait(context: typer.Context, job: JobArgument, as_json: JsonOption = False) -> None:
    """Wait for a job, with progress, from any host that sees Redis. Exit code 0 only if it succeeded."""
    if not _wait(_settings(context), job, as_json=as_json):
        raise typer.Exit(1)


def cancel(context: typer.Context, job: JobArgument, as_json: JsonOption = False) -> None:
    """Stop a job, waiting or running. Nothing of it is published."""
    settings = _settings(context)
    jobs.cancel(job, settings=settings)
    folder = JobFolder(settings.jobs_root, job)
    if not settings.broker_url and not foreground.is_at_work(folder):
        in_process.run_embedded(_host(context), folder)  # nobody else would close it
    _print(settings, jobs.status(job, settings=settings), as_json=as_json)


def retry(
    context: typer.Context,
    job: JobArgument,
    step: Annotated[str | None, typer.Option("--step", help="Only this one: others that failed stay so.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run again what failed or was cancelled; what succeeded is kept. Without a broker it is done here and now."""
    settings = _settings(context)
    if settings.broker_url:
        jobs.retry(job, step=step, settings=settings)
        _print(settings, jobs.status(job, settings=settings), as_json=as_json)
        return
    host, folder = _host(context), JobFolder(settings.jobs_root, job)
    lifecycle.retry(folder, step)
    raise typer.Exit(foreground.finish(host, folder, as_json=as_json).exit_code)


def tell(context: typer.Context, job: JobArgument) -> None:
    """Tell the portal once more of a job's end, after it was given up (`amphipod jobs` lists those)."""
    settings = _settings(context)
    if settings.broker_url:
        jobs.tell(job, settings=settings)
        return
    folder = JobFolder(settings.jobs_root, job)
    folder.job()
    deliveries.reopen(folder)
    foreground.tell(_host(context), folder)


def resume(
    context: typer.Context,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="The jobs root was moved: from now on this host's is the service's.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Put jobs back on their queues after Redis has lost its data: what is unfinished, and whom to tell of the rest.

    Safe at any time. A worker of `callbacks` does it too, every few minutes. Without a broker the unfinished jobs of
    this host are done here and now, one after the other.
    """
    settings = _settings(context)
    if settings.broker_url:
        resumed = jobs.resume(settings=settings, adopt=adopt)
        typer.echo(json.dumps({"resumed": resumed}) if as_json else f"{len(resumed)} jobs put back")
        return
    if adopt:
        raise BadSettings("no broker: the jobs root is this host's own", remedy="leave out --adopt")
    raise typer.Exit(_resume_here(_host(context), as_json=as_json))


def _resume_here(host: Host, *, as_json: bool) -> int:
    """Go on with the unfinished jobs that nobody works on. Returns the exit code."""
    root = host.settings.jobs_root
    found = [JobFolder(root, one.job) for one in recovery.unsent(root, sorted(job_folder.names(root)))]
    resumed, code = [], 0
    for folder in found:
        if foreground.is_at_work(folder):
            continue
        if not as_json:
            typer.echo(f"{folder.id} {plain(str(folder.job().source.path))}", err=True)
        outcome = foreground.work(host, folder)
        resumed.append(folder.id)
        code = outcome.exit_code or code
        if not as_json:
            summary.show(outcome.manifest, folder, as_json=False)
        if outcome.signal:
            break
    typer.echo(json.dumps({"resumed": resumed}) if as_json else f"{len(resumed)} jobs resumed")
    return code


def _settings(context: typer.Context) -> Settings:
    return cast("Call", context.obj).settings()


def _host(context: typer.Context) -> Host:
    return cast("Call", context.obj).host(log_level="error", told=("failed",))


def _priority(text: str) -> Priority:
    if text not in ("high", "normal", "low"):
        raise typer.BadParameter(f"{text!r}: there are high, normal and low", param_hint="--priority")
    return cast("Priority", text)


def _print(settings: Settings, current: Status, *, as_json: bool) -> None:
    folders = _folders(settings, current)
    if as_json:
        answer = json.loads(current.to_json()) | ({"folders": folders} if folders else {})
        typer.echo(json.dumps(answer, indent=2))
        return
    typer.echo(f"{current.id} {current.state}{f': {plain(current.reason)}' if current.reason else ''}")
    for name, step in current.steps.items():
        far = step.progress
        words = f" {far.done / far.total:.0%} at {far.speed:.1f}x on {far.host}" if far and far.total else ""
        typer.echo(f"  {name:<10} {step.state}{words}{f': {plain(step.reason)}' if step.reason else ''}")
    for folder in folders:
        typer.echo(f"  files      {plain(folder)}")
    if current.swept:
        typer.echo(f"  {current.swept}")
    if current.unserved:
        typer.echo(f"  {_start(current.unserved)}")


def _folders(settings: Settings, current: Status) -> list[str]:
    """Return where the files of a job are that is over, as this host sees them."""
    if not current.state.is_final:
        return []
    folder = JobFolder(settings.jobs_root, current.id)
    with suppress(UnknownJob):
        return summary.places(job_state.fold(folder), folder)
    return []


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


def _wait(settings: Settings, job: str, *, as_json: bool) -> bool:
    """Wait for a job and print how it ended; tells whether it succeeded."""
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
    _print(settings, last, as_json=as_json)
    return last.state is State.SUCCEEDED
