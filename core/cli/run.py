"""`amphipod run`: a whole job here and now, without a queue."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from core import callbacks, pipeline, storage, watch_page
from core import jobs as jobs_module
from core.cli import progress, summary
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
    State,
    parse_correlation,
    parse_engines,
    parse_options,
    parse_steps,
    parse_webhooks,
)
from core.context import Progress
from core.errors import BadCall, JobConflict
from core.manager import missing_steps
from core.model import STEPS, Job, Manifest, Step
from core.pipeline import Host
from core.storage import JobFolder


def run(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The lecture: any video or audio file.")],
    presentation: PresentationOption = None,
    out: OutOption = None,
    replace: ReplaceOption = False,
    steps: Annotated[
        str | None,
        typer.Option("--steps", help="Comma-separated: compose,encode,transcribe,emit; by default all installed."),
    ] = None,
    language: LanguageOption = "auto",
    option: OptionsOption = None,
    engine: EngineOption = None,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, help="Parts of a long lecture that are encoded at the same time.")
    ] = 1,
    notify: NotifyOption = None,
    correlation_id: CorrelationOption = None,
    page: Annotated[bool, typer.Option("--page", help="Also write watch.html, a page that plays the result.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Process one file here, with progress, and say what was made.

    Needs no queue and no other program. Exit code 0 only when every step that was asked for succeeded.
    """
    state: State = context.obj
    host = state.host(log_level=None if verbose else "error", told=() if verbose else ("failed",))
    sources = jobs_module.sources(host.settings, file, presentation)
    asked = parse_steps(steps) if steps else _installed(host, len(sources))
    job = Job(
        id=pipeline.new_id(),
        sources=sources,
        steps=asked,
        output=storage.resolve(out, host.settings.media_roots) if out else None,
        replace=replace,
        language=language,
        options=parse_options(option or []),
        engines=parse_engines(engine or []),
        callbacks=parse_webhooks(notify or []),
        correlation_id=parse_correlation(correlation_id),
    )
    pipeline.check(host, job)
    if page and job.output:
        watch_page.check(job.output, replace=replace)
    folder, _ = pipeline.submit(job, host.settings.jobs_root)
    with _interruptible(), progress.show(job.steps) as shown:
        manifest = _run(host, folder, jobs, shown)
    _tell(host, folder)
    if page and manifest.state == "succeeded":
        watch_page.write(manifest, folder)
    summary.show(manifest, folder, as_json=as_json)
    if manifest.state != "succeeded":
        raise typer.Exit(1)


def _installed(host: Host, takes: int) -> tuple[Step, ...]:
    wanted = STEPS if takes > 1 else STEPS[1:]  # one take needs no composing
    missing = missing_steps(host.manager)
    for step in wanted:
        if step in missing:
            typer.echo(f"left out: {missing[step]}", err=True)
    present = tuple(step for step in wanted if step not in missing)
    if not present:
        raise BadCall("no step is installed here", remedy="pip install 'amphipod[all]'")
    return present


def _run(host: Host, folder: JobFolder, jobs: int, shown: progress.Show) -> Manifest:
    def on_progress(step: Step, how_far: Progress) -> None:
        shown.progress(step, how_far)

    try:
        manifest = pipeline.run_embedded(host, folder, jobs=jobs, on_progress=on_progress)
    except KeyboardInterrupt:
        with suppress(JobConflict):  # it may be over already
            pipeline.cancel(folder)
        manifest = pipeline.run_embedded(host, folder)
    for name, step in manifest.steps.items():
        shown.ended(name, step.state)
    return manifest


def _tell(host: Host, folder: JobFolder) -> None:
    """Tell whoever was named, once each: somebody waits for this command, and `amphipod resume` knows what is left."""
    if not (due := callbacks.due(folder)):
        return
    from core import contracts, messenger

    for delivery in due:
        record, _ = messenger.attempt(host.settings, folder, delivery, contracts.CONTRACTS)
        if record.state != "delivered":
            typer.echo(f"not told: {record.callback.url}: {record.answer}", err=True)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Treat SIGTERM as the Ctrl-C that it means for a command in the foreground."""

    def interrupt(_signum: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
