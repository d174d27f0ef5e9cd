"""The command `amphipod`. Exit codes: 0 done, 1 the job failed, 2 the call was wrong, 3 a service is out of reach."""

from __future__ import annotations

import sys

import typer

from core import settings
from core.cli import doctor, listing, run
from core.cli.options import ConfigOption, State
from core.errors import AmphipodError
from core.manager import Manager

_HELP = "Encode, transcribe and report lecture videos, with the plugins that are installed here."


def build(arguments: list[str]) -> typer.Typer:
    """Return the application, with plugins' own commands when `arguments` may need them."""
    app = typer.Typer(help=_HELP, no_args_is_help=True, add_completion=False, rich_markup_mode="rich")

    @app.callback()
    def options(context: typer.Context, config: ConfigOption = None) -> None:
        context.obj = State(config)

    app.command("run")(run.run)
    app.command("plugins")(listing.plugins)
    app.command("hooks")(listing.hooks)
    app.command("doctor")(doctor.doctor)
    ours = {command.name for command in app.registered_commands}
    if not ours.intersection(arguments):
        # Only then: a plugin that imports slowly must not slow down our own commands.
        Manager(settings.load()).register_commands(app)
    return app


def main() -> None:
    """Run a command; one line for an error that we know, whatever its depth."""
    try:
        build(sys.argv[1:])()
    except AmphipodError as error:
        typer.echo(f"amphipod: {error}", err=True)
        sys.exit(error.exit_code)
