"""`amphipod plugins` and `amphipod hooks`: what is installed, and what a plugin may do."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import asdict

import typer

from core.cli.terminal.options import Call, JsonOption
from core.plugin_host.manager import specifications


def plugins(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the plugins: version, state, the hooks that they implement, and why one does not work.

    States: ready; blocked (by the settings); unavailable (something it needs is not installed); invalid (it does
    not fit the hooks); failed (it raised). Only ready ones are used. `amphipod doctor` exits with 1 on a broken one.
    """
    state: Call = context.obj
    manager = state.host(log_level="error").manager
    if as_json:
        typer.echo(json.dumps([asdict(info) for info in manager.infos], indent=2))
        return
    for info in manager.infos:
        typer.echo(f"{info.name:<20} {info.state:<12} {info.distribution} {info.version}")
        if info.hooks:
            typer.echo(f"{'':<20} {', '.join(info.hooks)}")
        if info.reason:
            typer.echo(f"{'':<20} {info.reason}")


def _signature(function: Callable[..., object]) -> str:
    """Return what stands after a function's name; its annotations are strings, whose quotes nobody wants to read."""
    return str(inspect.signature(function)).replace("'", "")


def hooks(as_json: JsonOption = False) -> None:
    """Print every hook that a plugin may implement: its arguments, and what it is asked to do."""
    specs = [
        {"name": name, "signature": _signature(function), "documentation": inspect.getdoc(function) or ""}
        for name, function in specifications()
    ]
    if as_json:
        typer.echo(json.dumps(specs, indent=2))
        return
    for spec in specs:
        typer.secho(f"{spec['name']}{spec['signature']}", bold=True)
        for line in spec["documentation"].splitlines():
            typer.echo(f"    {line}".rstrip())
        typer.echo()
