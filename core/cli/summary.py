"""What a job has made, for a person or a script."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from core.model import Artifact, Manifest, State
from core.storage import JobFolder


def show(manifest: Manifest, folder: JobFolder, *, as_json: bool) -> None:
    """Print the manifest, or a table of files, notes, where they are, and why it failed."""
    if as_json:
        typer.echo(manifest.to_json(), nl=False)
        return
    console = Console()
    if manifest.artifacts:
        table = Table("file", "kind", "what", "size", box=None, padding=(0, 2, 0, 0))
        for artifact in manifest.artifacts:
            table.add_row(artifact.path, artifact.kind, _what(artifact), _bytes(artifact.size or 0))
        console.print(table)
    for name, step in manifest.steps.items():
        for note in step.notes:
            console.print(f"{name}: {note}", markup=False, highlight=False, soft_wrap=True)
    places = _places(manifest, folder)
    for place in places:
        typer.echo(f"files    {place}")
    if manifest.state.is_final:
        typer.echo(f"manifest {folder.manifest}")
    if manifest.state is not State.SUCCEEDED:
        reason = f": {manifest.reason}" if manifest.reason else ""
        typer.echo(f"amphipod: job {manifest.job.id} {manifest.state}{reason}", err=True)


def _places(manifest: Manifest, folder: JobFolder) -> list[str]:
    if manifest.published_in:
        return [str(manifest.published_in)]
    return [str(folder.path / step.folder) for step in manifest.steps.values() if step.folder]


def _what(artifact: Artifact) -> str:
    parts = []
    if artifact.width and artifact.height:
        parts.append(f"{artifact.width}x{artifact.height}")
    if artifact.bit_rate:
        parts.append(f"{artifact.bit_rate / 1000:.0f} kb/s")
    if artifact.duration:
        parts.append(f"{artifact.duration:.1f} s")
    if artifact.language:
        parts.append(artifact.language)
    return ", ".join(parts)


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
