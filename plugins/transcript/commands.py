"""`amphipod models`: weights are fetched ahead of time, never while a lecture waits."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from core import PluginUnavailable

app = typer.Typer(help="Weights of the transcription.", no_args_is_help=True)


@app.command()
def pull(
    context: typer.Context, name: Annotated[str, typer.Argument(help="tiny, base, small, medium, turbo, large, ...")]
) -> None:
    """Fetch official weights, unless they are there, and print where they are."""
    from plugins.transcript import weights

    typer.echo(weights.pull(name, _folder(context)))


@app.command()
def convert(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="official name, or a file (.pt, .pt.gz)")],
    folder: Annotated[Path | None, typer.Argument(help="where to; for a name it is known")] = None,
) -> None:
    """Make weights that CTranslate2 runs of weights that are here, and print where they are."""
    if find_spec("ctranslate2") is None:
        raise PluginUnavailable("pip install 'amphipod[ct2]'", step="transcribe")
    from plugins.transcript import conversion

    typer.echo(conversion.made(model, folder, _folder(context)))


@app.command("list")
def show(context: typer.Context) -> None:
    """List the official weights, and which are on this host."""
    from plugins.transcript import weights

    folder = _folder(context)
    for name in weights.OFFICIAL:
        typer.echo(f"{name:<16}{', '.join(weights.forms(name, folder)) or '-'}")


def _folder(context: typer.Context) -> Path:
    from plugins.transcript import weights
    from plugins.transcript.settings import TranscriptSettings

    return weights.folder(context.obj.settings().of_plugin("transcript", TranscriptSettings))
