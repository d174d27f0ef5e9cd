"""`amphipod jobs` and `amphipod workers`: what waits, runs and failed, and what portals have not been told."""

from __future__ import annotations

import json
from typing import Any, cast

import typer

from core import connection, monitor
from core import workers as registry
from core.cli.options import JsonOption, State


def jobs(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show the queues (waiting, delayed, dead messages), what runs where and how far, what is delayed until when and
    why, the latest failures with reasons, and what a portal could not be told yet: one line a job.
    """
    view = _ask(context, monitor.overview)
    if as_json:
        typer.echo(json.dumps(view, indent=2))
        return
    typer.echo(f"{'queue':<20} {'waiting':>8} {'delayed':>8} {'dead':>8}")
    for name, counts in view["queues"].items():
        if any(counts.values()) or "." not in name:
            typer.echo(f"{name:<20} {counts['waiting']:>8} {counts['delayed']:>8} {counts['dead']:>8}")
    for one in view["unserved"]:
        queue, messages = one["queue"], one["messages"]
        words = f"{messages} messages wait on `{queue}` and no worker of it is running"
        typer.echo(f"{words}: start one with `amphipod worker {queue}`")
    for job in view["running"]:
        far = job["progress"]
        percent = f" {far['done'] / far['total']:.0%}" if far and far["total"] else ""
        typer.echo(f"running {job['job']} {job['step']}{percent} on {', '.join(job['hosts'])}, since {job['since']}")
    for job in view["delayed"]:
        typer.echo(f"delayed {job['job']} {job['step']}, next try {job['next_try']}: {job['reason'] or 'asked for'}")
    for job in view["failed"]:
        typer.echo(f"failed  {job['id']}: {job['reason']}")
    for one in view["untold"]:
        word = "untold" if one["state"] == "due" else "given up"
        typer.echo(f"{word:<7} {one['job']} ({one['kind']}), {one['tries']} tries: {one['answer']}")


def workers(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the worker processes that live: host, process, queues, version, what each is doing."""
    found = _ask(context, lambda client: list(registry.alive(client)))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for worker in found:
        doing = ", ".join(f"{job['step']} {job['job']}" for job in worker["jobs"]) or "idle"
        if worker.get("fault"):
            doing = f"TAKES NO JOBS, {worker['fault']}"
        typer.echo(f"{worker['id']:<30} {worker['version']:<8} {','.join(worker['queues'])}: {doing}")


def _ask(context: typer.Context, question: Any) -> Any:
    settings = cast("State", context.obj).settings()
    with connection.opened(settings) as client:
        return question(client)
