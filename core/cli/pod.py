"""`amphipod pod`: what an admin of Esup-Pod needs once, or when something went wrong."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, cast

import typer

from core import settings as settings_module
from core.cli.terminal.options import Call, JsonOption
from core.errors import BadCall

pod = typer.Typer(help="Serve an Esup-Pod: import its settings, see messages that were parked.", no_args_is_help=True)


@pod.command("import-settings")
def import_settings(
    file: Annotated[Path, typer.Argument(help="Esup-Pod's settings_local.py; it is read, never executed.")],
    to: Annotated[Path, typer.Option("--to", help="File to write.")] = Path(settings_module.CONFIG_FILE),
    jobs_root: Annotated[
        Path, typer.Option("--jobs-root", help="Folder for jobs, which all hosts of Amphipod share.")
    ] = Path("/srv/amphipod"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write amphipod.toml from Esup-Pod's settings, and say what was used, what was not, and why.

    The file may hold passwords: only its owner can read it. Exit code 2 when what was found does not fit.
    """
    from core.pod import settings_import

    imported = settings_import.read(file, jobs_root)
    if to.exists() and not force:
        raise BadCall(f"{to} exists", remedy="choose another with --to, or replace it with --force")
    new = to.with_name(f".{to.name}.new")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as text:  # noqa: PTH123  # a mode from its first moment
            text.write(settings_import.to_toml(imported.settings, file))
        settings_module.load(new)
        new.replace(to)
    finally:
        new.unlink(missing_ok=True)
    if as_json:
        typer.echo(json.dumps({"used": imported.used, "ignored": imported.ignored, "file": str(to)}, indent=2))
        return
    for name, target in imported.used.items():
        typer.echo(f"used     {name:<40} {target}")
    for name, reason in imported.ignored.items():
        typer.echo(f"ignored  {name:<40} {reason}")
    typer.echo(
        f"\njobs_root is {jobs_root}: mount that folder on every host of Amphipod, writable for its user; "
        "another with --jobs-root."
    )
    typer.echo(f"{to} is written; `amphipod --config {to} doctor` looks at it.")


@pod.command("parked")
def parked(
    context: typer.Context,
    retry: Annotated[bool, typer.Option("--retry", help="Try them again, after an upgrade say.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the messages of Esup-Pod that the bridge could not act on, with their files; to drop one, remove its file.

    Unknown tasks, wrong arguments, unsafe paths, what is no message. Exit code 1 if --retry leaves some.
    """
    from core import logs
    from core.pod import celery_messages, parking

    settings = cast("Call", context.obj).settings()
    logs.configure(settings)
    taken = celery_messages.take_parked(settings) if retry else 0
    found = list(parking.parked(settings))
    if as_json:
        typer.echo(json.dumps([asdict(one) | {"file": str(path)} for path, one in found], indent=2, default=str))
    else:
        if retry:
            typer.echo(f"{taken} messages taken")
        for path, one in found:
            typer.echo(f"{path}  {parking.printable(one.message.task)}\n    {one.reason}")
    if retry and found:
        raise typer.Exit(1)
