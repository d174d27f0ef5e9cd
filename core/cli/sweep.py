"""`amphipod sweep`: frees the disk of what jobs no longer need."""

from __future__ import annotations

import json
from typing import Annotated, cast

import typer

from core import logs
from core.cli.terminal.options import Call, JsonOption
from core.errors import AmphipodError, JobConflict
from core.retention import sweep as sweep_module
from core.retention import uploads
from core.retention.holdings import Removable
from core.settings import Settings
from core.storage.job_folder import JobFolder


def sweep(
    context: typer.Context,
    jobs: Annotated[
        list[str] | None,
        typer.Argument(help="Jobs whose files go now, whatever their age; by default all, by the settings."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove what jobs no longer need, by the settings AMPHIPOD_RETAIN_*. Safe at any time, beside workers too.

    Never touched are published folders, jobs that are not over, and jobs that a portal is still to be told of.
    """
    settings = cast("Call", context.obj).settings(log_level="warning")
    logs.configure(settings)
    for job in jobs or ():
        JobFolder(settings.jobs_root, job).job()  # or say that there is none
    named = jobs or sweep_module.jobs(settings.jobs_root)
    found = list(sweep_module.sweep(settings, named, asked=bool(jobs), dry_run=dry_run))
    if not jobs:
        found += uploads.sweep(settings, dry_run=dry_run)
    if not dry_run:
        _note(settings, found)
    if as_json:
        total = sum(one.frees for one in found)
        typer.echo(json.dumps({"found": [one.model_dump(mode="json") for one in found], "frees": total}))
    else:
        _print(found, dry_run=dry_run)
    if kept := sorted({*(jobs or ())} - {one.job for one in found}):
        raise JobConflict(
            f"nothing of {', '.join(kept)} can go",
            remedy="it is not over, a portal is still to be told, another job reads it, or its files are gone already",
        )


def _note(settings: Settings, found: list[Removable]) -> None:
    """Have the lists of the service follow; where Redis is away, a worker does it later."""
    if settings.broker_url is None:
        return
    from core.job_index import rebuild
    from core.redis import connection

    try:
        with connection.opened(settings) as client:
            for one in found:
                rebuild.note_swept(client, settings.jobs_root, one)
    except AmphipodError as error:
        typer.echo(f"lists of jobs will follow later: {error}", err=True)


def _print(found: list[Removable], *, dry_run: bool) -> None:
    for one in found:
        typer.echo(f"{one.job}  {one.what}  {_size(one.frees)}  {one.why}")
    total = _size(sum(one.frees for one in found))
    words = "would free" if dry_run else "freed"
    typer.echo(f"{words} {total} of {len(found)} jobs; a link to a published file frees nothing")


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
