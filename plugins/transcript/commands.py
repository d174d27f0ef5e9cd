"""`amphipod models`: weights are fetched ahead of time, never while a lecture waits."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Weights of the transcription.", no_args_is_help=True)


@app.command()
def pull(name: Annotated[str, typer.Argument(help="tiny, base, small, medium, turbo, large, ...")]) -> None:
    """Fetch official weights, unless they are there, and print where they are."""
    from plugins.transcript import weights

    typer.echo(weights.pull(name))


@app.command("list")
def show() -> None:
    """List the official weights, and which are on this host."""
    from plugins.transcript import weights

    for name, stem in weights.OFFICIAL.items():
        there = (weights.folder() / f"{stem}.pt").is_file()
        typer.echo(f"{name:<16}{'here' if there else '-'}")
