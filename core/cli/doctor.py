"""`amphipod doctor`: is this host fit for work, and if not, what to do."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from core import pipeline, shadowing, storage
from core.cli.options import JsonOption, State
from core.errors import AmphipodError, EngineMissing
from core.manager import Manager
from core.model import STEPS, Job, Source
from core.pipeline import Host


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    subject: str
    ok: bool
    words: str


def doctor(context: typer.Context, as_json: JsonOption = False) -> None:
    """Check this host: settings, folders, plugins, engines. Exit code 1 when something must be mended."""
    state: State = context.obj
    host = state.host(log_level="error")
    findings = list(examine(host))
    if as_json:
        report = {
            "settings": host.settings.model_dump(mode="json"),
            "findings": [asdict(finding) for finding in findings],
        }
        typer.echo(json.dumps(report, indent=2))
    else:
        for finding in findings:
            mark = typer.style("ok  ", fg="green") if finding.ok else typer.style("FAIL", fg="red")
            typer.echo(f"{mark} {finding.subject}: {finding.words}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def examine(host: Host) -> Iterator[Finding]:
    """Look at everything that this host needs for a job."""
    settings, manager = host.settings, host.manager
    try:
        yield Finding("installation", ok=True, words=str(shadowing.check()))
    except AmphipodError as error:
        yield Finding("installation", ok=False, words=str(error))
    yield _jobs_root(settings.jobs_root)
    for root in settings.media_roots:
        readable = root.is_dir() and os.access(root, os.R_OK | os.X_OK)
        yield Finding(f"media root {root}", ok=readable, words="readable" if readable else "not a readable folder")
    for info in manager.infos:
        words = f"{info.state}{', ' + info.reason if info.reason else ''}"
        yield Finding(
            f"plugin {info.name} ({info.distribution} {info.version})",
            ok=info.state not in ("invalid", "failed"),
            words=words,
        )
    yield from _steps(manager)


def _jobs_root(root: Path) -> Finding:
    subject = f"jobs root {root}"
    try:
        with storage.disk_errors(root):
            root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=root, prefix=".doctor-") as name:
                storage.write_once(Path(name) / "probe", "linked\n")
    except (AmphipodError, OSError) as error:
        return Finding(subject, ok=False, words=str(error))
    free = os.statvfs(root)
    return Finding(subject, ok=True, words=f"writable, takes links, {free.f_bavail * free.f_frsize / 1e9:.0f} GB free")


def _steps(manager: Manager) -> Iterator[Finding]:
    for step in STEPS:
        job = Job(id=pipeline.new_id(), sources=(Source(path=Path("any")),), steps=(step,))
        try:
            plan = manager.plan(job, step)
        except EngineMissing as error:
            yield Finding(f"step {step}", ok=True, words=f"not done here: {error.message}")
        except AmphipodError as error:
            yield Finding(f"step {step}", ok=False, words=str(error))
        else:
            origins = [f"{key} set by {origin}" for key, origin in sorted(plan.origins.items())]
            words = [f"done by {' or '.join(engine.plugin for engine in plan.engines)}", *origins]
            yield Finding(f"step {step}", ok=True, words=", ".join(words))
