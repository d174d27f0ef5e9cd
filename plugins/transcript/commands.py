"""`amphipod models`: weights are fetched ahead of time, never while a lecture waits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Weights of the transcription.", no_args_is_help=True)


@app.command()
def pull(
    context: typer.Context, name: Annotated[str, typer.Argument(help="tiny, base, small, medium, turbo, large, ...")]
) -> None:
    """Fetch official weights, unless they are there, and print where they are."""
    from plugins.transcript import weights

    typer.echo(weights.pull(name, _folder(context)))


@app.command("list")
def show(context: typer.Context) -> None:
    """List the official weights, and which are on this host."""
    from plugins.transcript import weights

    folder = _folder(context)
    for name, stem in weights.OFFICIAL.items():
        there = (folder / f"{stem}.pt").is_file()
        typer.echo(f"{name:<16}{'here' if there else '-'}")


def _folder(context: typer.Context) -> Path:
    from plugins.transcript import weights
    from plugins.transcript.settings import TranscriptSettings

    return weights.folder(context.obj.settings().of_plugin("transcript", TranscriptSettings))
