"""`amphipod workers`: who works, and on what."""

from __future__ import annotations

import json
from typing import cast

import typer

from core.cli.terminal.options import Call, JsonOption
from core.queue import workers as registry
from core.redis import connection


def workers(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the worker processes that live: host, process, queues, version, what each is doing."""
    with connection.opened(cast("Call", context.obj).settings()) as client:
        found = list(registry.alive(client))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for worker in found:
        doing = ", ".join(f"{job['step']} {job['job']}" for job in worker["jobs"]) or "idle"
        if worker.get("fault"):
            doing = f"TAKES NO JOBS, {worker['fault']}"
        typer.echo(f"{worker['id']:<30} {worker['version']:<8} {','.join(worker['queues'])}: {doing}")
