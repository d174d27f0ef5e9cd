"""What several commands share: the settings, and how values are written on a command line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core import settings
from core.cli.terminal import paths
from core.errors import BadCall
from core.model import Callback, Source, Step, check_correlation_id
from core.settings import Settings

if TYPE_CHECKING:
    from core.pipeline.planning import Host
    from core.plugin_host.manager import Manager

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings file; by default ./amphipod.toml if it is there.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script instead of text.")]

# What a job is made of, for the commands that make one.
PresentationOption = Annotated[
    Path | None, typer.Option("--presentation", help="A second take, of the slides: FILE then is the presenter's.")
]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder to publish into; by default the job's own folder.")
]
ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Replace files in that folder that are another lecture's, or a person's own.")
]
LanguageOption = Annotated[str, typer.Option("--language", help="What is spoken: fr, en, ... or auto.")]
NotifyOption = Annotated[
    list[str] | None, typer.Option("--notify", help="Address that gets a signed POST at the job's end; repeat it.")
]
CorrelationOption = Annotated[
    str | None,
    typer.Option("--correlation-id", help="Your name for what this belongs to; in each log line and callback."),
]
OptionsOption = Annotated[
    list[str] | None,
    typer.Option("--option", help="key=value for the steps that know it, e.g. profile=lecture; repeat it."),
]
EngineOption = Annotated[
    list[str] | None, typer.Option("--engine", help="step=plugin when several plugins can do a step; repeat it.")
]


@dataclass(frozen=True)
class Call:
    """What the options before the command said."""

    config: Path | None

    def settings(self, **overrides: Any) -> Settings:
        """Read the settings; None in `overrides` means "not given"."""
        _warn_of_variables({})
        given = {name: value for name, value in overrides.items() if value is not None}
        return settings.load(self.config, **given)

    def host(self, *, told: Sequence[str] = (), **overrides: Any) -> Host:
        """Read the settings, set up logging and load the plugins; events in `told` are not logged here."""
        from core import logs
        from core.pipeline.planning import Host
        from core.plugin_host.manager import Manager

        loaded = self.settings(**overrides)
        logs.configure(loaded, told=told)
        host = Host(loaded, Manager(loaded))
        logs.configure(loaded, told=told, own=host.manager.own_settings.values())
        _warn_of_variables(host.manager.own_variables)
        return host


def _warn_of_variables(own: Mapping[str, Iterable[str]]) -> None:
    """Tell each variable that nobody reads; `own` are those that plugins read."""
    for _, words in settings.unknown_variables(own):
        _warn(words)


@cache
def _warn(words: str) -> None:
    typer.echo(f"amphipod: {words}", err=True)


def sources_of(files: Sequence[Path], presentation: Path | None, roots: Sequence[Path]) -> list[tuple[Source, ...]]:
    """Return each job's sources: a lecture, or the presenter and the presentation of one.

    Raises:
        BadCall, UnsafePath
    """
    if presentation is None:
        return [(Source(path=paths.source(file, roots)),) for file in files]
    if len(files) > 1:
        raise BadCall("--presentation belongs to one FILE", remedy="process them one by one")
    first, second = (paths.source(file, roots) for file in (files[0], presentation))
    return [(Source(path=first, role="presenter"), Source(path=second, role="presentation"))]


def parse_pairs(pairs: Sequence[str], flag: str) -> dict[str, str]:
    """Read `key=value` arguments."""
    parsed = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise BadCall(f"{flag} {pair!r}", remedy=f"write {flag} key=value")
        parsed[key] = value
    return parsed


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` arguments whose value is JSON, or else a plain string."""

    def value(text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            return text

    return {key: value(text) for key, text in parse_pairs(pairs, "--option").items()}


def parse_steps(text: str, manager: Manager) -> tuple[Step, ...]:
    """Read a comma-separated list of steps; answered in the order in which a job does them."""
    from core.pipeline import planning

    asked = [name.strip() for name in text.split(",") if name.strip()]
    if not asked:
        raise BadCall(f"--steps {text!r} names none", remedy=f"there are {', '.join(manager.steps.specs)}")
    return planning.known_steps(manager, asked)


def parse_engines(pairs: Sequence[str], manager: Manager) -> dict[Step, str]:
    """Read `step=plugin` arguments."""
    engines = parse_pairs(pairs, "--engine")
    for step in engines:
        parse_steps(step, manager)
    return engines


def parse_correlation(text: str | None) -> str | None:
    """Read the name that the submitter has for what a job belongs to."""
    try:
        return check_correlation_id(text) if text is not None else None
    except ValueError as error:
        raise BadCall(f"--correlation-id {error}") from error


def parse_webhooks(urls: Sequence[str]) -> tuple[Callback, ...]:
    """Read the addresses that are told of a job's end."""
    for url in urls:
        if not url.startswith(("https://", "http://")):
            raise BadCall(f"--notify {url!r}", remedy="write an address, https://portal.univ.fr/amphipod")
    return tuple(Callback(kind="webhook", url=url) for url in urls)
