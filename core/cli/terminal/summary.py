"""What a job has made, for a person or a script."""

from __future__ import annotations

import json

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.cli.terminal.plain import plain
from core.model import Artifact, Manifest, State
from core.storage.job_folder import JobFolder


def show(manifest: Manifest, folder: JobFolder, *, as_json: bool, lines: bool = False) -> None:
    """Print a table of files, notes, where they are, and why it failed; or JSON of all that, in one line if `lines`."""
    if as_json:
        answer = json.loads(manifest.to_json()) | {"folders": places(manifest, folder)}
        typer.echo(json.dumps(answer, indent=None if lines else 2))
        return
    console = Console()
    if manifest.artifacts:
        table = Table("file", "kind", "what", "size", box=None, padding=(0, 2, 0, 0))
        for artifact in manifest.artifacts:
            cells = (artifact.path, artifact.kind, _what(artifact), _bytes(artifact.size or 0))
            table.add_row(*(Text(plain(cell)) for cell in cells))  # as Text: a name is no markup
        console.print(table)
    for name, step in manifest.steps.items():
        if summary := step.facts.get("summary"):
            console.print(plain(f"{name}: {summary}"), markup=False, highlight=False, soft_wrap=True)
        for note in step.notes:
            console.print(plain(f"{name}: {note}"), markup=False, highlight=False, soft_wrap=True)
    for place in places(manifest, folder):
        typer.echo(f"files    {plain(place)}")
    if manifest.state.is_final:
        typer.echo(f"manifest {folder.manifest}")
    if manifest.state is not State.SUCCEEDED:
        reason = f": {manifest.reason}" if manifest.reason else ""
        typer.echo(plain(f"amphipod: job {manifest.job.id} {manifest.state}{reason}"), err=True)


def places(manifest: Manifest, folder: JobFolder) -> list[str]:
    """Return the folders that hold a job's files."""
    if manifest.published_in:
        return [str(manifest.published_in)]
    found = [folder.path / step.folder for step in manifest.steps.values() if step.folder]
    return [str(path) for path in found if path.exists()]  # a sweep may have been here


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
