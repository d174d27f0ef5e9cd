"""The command `amphipod`. Exit codes: 0 done, 1 the job failed, 2 the call was wrong, 3 a service is out of reach."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError

from core import validation_messages
from core.cli.terminal.options import Call, ConfigOption
from core.cli.terminal.plain import plain
from core.errors import AmphipodError, HookFailed
from core.process import environment

_HELP = "Encode, transcribe and report lecture videos, with the plugins that are installed here."

#: Commands and the modules that hold them, in the order of the help. Only what is called is imported.
COMMANDS: Mapping[str, str] = {
    "run": "core.cli.run",
    "submit": "core.cli.jobs.control",
    "status": "core.cli.jobs.control",
    "wait": "core.cli.jobs.control",
    "logs": "core.cli.jobs.logs",
    "cancel": "core.cli.jobs.control",
    "retry": "core.cli.jobs.control",
    "tell": "core.cli.jobs.control",
    "resume": "core.cli.jobs.control",
    "sweep": "core.cli.sweep",
    "jobs": "core.cli.jobs.list",
    "show": "core.cli.jobs.show",
    "dead": "core.cli.jobs.list",
    "workers": "core.cli.workers.list",
    "emit": "core.cli.emit",
    "statements": "core.cli.statements",
    "worker": "core.cli.workers.worker",
    "bridge": "core.cli.workers.bridge",
    "pod": "core.cli.pod",
    "serve": "core.cli.serve",
    "token": "core.cli.token",
    "plugins": "core.cli.plugins",
    "hooks": "core.cli.plugins",
    "doctor": "core.cli.doctor",
}


def build(arguments: list[str]) -> typer.Typer:
    """Return the application: with the one command of ours that `arguments` name, or else with all and plugins' own."""
    app = typer.Typer(help=_HELP, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False)

    @app.callback()
    def options(
        context: typer.Context,
        config: ConfigOption = None,
        _version: Annotated[
            bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version.")
        ] = False,
    ) -> None:
        context.obj = Call(config)

    if arguments[:1] == ["--version"]:
        app.command("version", hidden=True)(lambda: None)  # what it prints needs none, and typer needs one
        return app
    named = next((argument for argument in arguments if not argument.startswith("-") and argument in COMMANDS), None)
    for name in [named] if named else COMMANDS:
        command = getattr(importlib.import_module(COMMANDS[name]), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    if named is None:
        from core import logs, settings
        from core.plugin_host.manager import Manager

        loaded = settings.load(log_level="error")
        logs.configure(loaded)
        Manager(loaded).register_commands(app)
    return app


def _completed() -> list[str]:
    """Return the words that a shell asks to complete; its scripts, which typer writes, put them in the environment."""
    words = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    return words.split()[1:] if "_AMPHIPOD_COMPLETE" in os.environ else []


def _tell_version(asked: bool) -> None:  # noqa: FBT001  # as typer calls it
    if asked:
        typer.echo(f"amphipod {version('amphipod')}")
        raise typer.Exit


def main() -> None:
    """Run a command; one line for an error that we know, whatever its depth."""
    environment.seclude()
    try:
        build(_completed() or sys.argv[1:])()
    except AmphipodError as error:
        _fail(error)
    except ValidationError as error:
        _fail(AmphipodError(f"{error.title}: {validation_messages.told(error)}"))
    except Exception as error:
        if "redis" not in sys.modules:
            raise
        from redis import RedisError

        if not isinstance(error, RedisError):
            raise
        from core import settings
        from core.redis import connection

        _fail(connection.refusal(error, settings.load().broker_url))


def _fail(error: AmphipodError) -> NoReturn:
    if isinstance(error, HookFailed) and {"-v", "--verbose"} & set(sys.argv):
        typer.echo(error.trace, err=True)
    typer.echo(f"amphipod: {plain(str(error))}", err=True)
    sys.exit(error.exit_code)
