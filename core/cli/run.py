"""`amphipod run`: whole jobs here and now, without a queue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.cli.terminal import foreground, paths
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
from core.errors import BadCall
from core.model import Job, Step
from core.pipeline import lifecycle, planning
from core.pipeline.planning import Host, default_steps, missing_steps
from core.plugin_host.manager import Manager
from core.web.player import stand_alone


def run(
    context: typer.Context,
    file: Annotated[list[Path], typer.Argument(help="The lectures: any video or audio files.")],
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
    """Process files here, one after the other, with progress, and say what was made.

    Needs no queue and no other program. Exit code 0 only when every step that was asked for succeeded. Several files
    get a folder each under --out, and a line of JSON each with --json. Ctrl-C keeps what is done.
    """
    state: Call = context.obj
    host = state.host(log_level=None if verbose else "error", told=() if verbose else ("failed",))
    _tell_broken(host.manager)
    roots = host.settings.media_roots
    takes = sources_of(file, presentation, roots)
    homes = paths.folders([one[0].path for one in takes], paths.output(out, roots) if out else None)
    asked = parse_steps(steps, host.manager) if steps else _installed(host, len(takes[0]))
    todo = [
        Job(
            id=lifecycle.new_id(),
            sources=sources,
            steps=asked,
            declared=planning.declared(host.manager, asked),
            output=home,
            replace=replace,
            language=language,
            options=parse_options(option or []),
            engines=parse_engines(engine or [], host.manager),
            callbacks=parse_webhooks(notify or []),
            correlation_id=parse_correlation(correlation_id),
        )
        for sources, home in zip(takes, homes, strict=True)
    ]
    if not steps:
        able, missing = planning.able(host, todo[0])
        for reason in missing.values():
            typer.echo(f"left out: {reason}", err=True)
        todo = [job.model_copy(update={"steps": able}) for job in todo]
    for job in todo:
        planning.check(host, job)
        if page and job.output:
            stand_alone.check(job.output, replace=replace)
    raise typer.Exit(_work(host, todo, jobs=jobs, page=page, as_json=as_json))


def _work(host: Host, todo: list[Job], *, jobs: int, page: bool, as_json: bool) -> int:
    """Do one job after the other; an interrupt ends them all. Returns the exit code, the last that isn't 0."""
    code = 0
    for number, job in enumerate(todo):
        if len(todo) > 1:
            typer.echo(f"{plain(str(job.source.path))}:", err=True)
        folder, _ = lifecycle.submit(job, host.settings.jobs_root)
        outcome = foreground.finish(host, folder, jobs=jobs, page=page, as_json=as_json, lines=len(todo) > 1)
        code = outcome.exit_code or code
        if outcome.signal:
            if left := todo[number + 1 :]:
                typer.echo(plain(f"amphipod: not begun: {', '.join(str(one.source.path) for one in left)}"), err=True)
            break
    return code


def _tell_broken(manager: Manager) -> None:
    if broken := [info for info in manager.infos if info.is_broken]:
        words = ", ".join(f"{info.name} is {info.state} ({info.reason})" for info in broken)
        typer.echo(f"plugins left out: {words}", err=True)


def _installed(host: Host, takes: int) -> tuple[Step, ...]:
    wanted = default_steps(host.manager, composed=takes > 1)
    missing = missing_steps(host.manager)
    for step in wanted:
        if step in missing:
            typer.echo(f"left out: {missing[step]}", err=True)
    present = tuple(step for step in wanted if step not in missing)
    if not present:
        raise BadCall("no step is installed here", remedy="pip install 'amphipod[all]'")
    return present
