"""Finds the plugins that are installed here, registers them, and keeps the broken ones out."""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import pluggy
import structlog
from pydantic import ValidationError

from core import validation_messages
from core.errors import AmphipodError, BadSettings, PluginUnavailable
from core.hookspecs import NAME
from core.plugin_host import output

if TYPE_CHECKING:
    from core.settings import Settings

PluginState = Literal["ready", "blocked", "unavailable", "invalid", "failed"]

_log = structlog.get_logger()


@dataclass(frozen=True)
class PluginInfo:
    """What is known of one entry point of the group `amphipod`."""

    name: str
    distribution: str
    version: str
    state: PluginState
    hooks: tuple[str, ...] = ()
    #: Why it isn't ready, in words for an admin.
    reason: str = ""
    #: The step that it would do if it were available, when it says so.
    step: str | None = None

    @property
    def is_broken(self) -> bool:
        """Whether somebody has to mend it."""
        return self.state in ("invalid", "failed")


def load(plugins: pluggy.PluginManager, settings: Settings) -> Iterator[PluginInfo]:
    """Register the plugins that the settings allow, and tell what became of each."""
    points = [
        (point, distribution)
        for distribution in importlib.metadata.distributions()
        for point in distribution.entry_points
        if point.group == NAME
    ]
    owners: dict[str, str] = {}
    for point, distribution in sorted(points, key=_own_first):
        owner = distribution.metadata["Name"]
        about = PluginInfo(point.name, owner, distribution.version, "blocked")
        if point.name in owners:
            # A folder that stands twice on sys.path lists its distributions twice.
            if owners[point.name] != owner:
                reason = f"{owners[point.name]} has a plugin of this name"
                yield replace(about, state="invalid", reason=reason)
            continue
        owners[point.name] = owner
        if point.name in settings.plugins_blocked or (
            settings.plugins_only and point.name not in settings.plugins_only
        ):
            yield replace(about, reason="left out by the settings")
            continue
        yield _admit(plugins, point, about)


def _admit(plugins: pluggy.PluginManager, point: importlib.metadata.EntryPoint, about: PluginInfo) -> PluginInfo:
    """Load one plugin; whatever it raises is its own affair."""
    try:
        with output.on_stderr:
            plugin = point.load()
    except Exception as error:  # noqa: BLE001  # a plugin may raise anything; it is listed with its reason
        return _refuse(about, error, f"import of {point.value}")
    try:
        with output.on_stderr:
            plugins.register(plugin, name=point.name)
        plugins.check_pending()
        _check_implementations(plugins.get_hookcallers(plugin) or [], plugin)
    except Exception as error:  # noqa: BLE001  # as above
        # register() leaves a plugin half registered when `configure` raises, and check_pending() looks at all. It
        # refuses others before they are in, or because the same object is in under a name that stays.
        if plugins.get_plugin(point.name) is not None:
            plugins.unregister(name=point.name)
        return _refuse(about, error, "configure")
    return replace(about, state="ready", hooks=_hooks_of(plugins, point.name))


def _hooks_of(plugins: pluggy.PluginManager, name: str) -> tuple[str, ...]:
    callers = plugins.get_hookcallers(plugins.get_plugin(name)) or []
    return tuple(sorted(caller.name for caller in callers))


def _refuse(about: PluginInfo, error: Exception, where: str) -> PluginInfo:
    _log.debug("plugin refused", plugin=about.name, exc_info=error)
    if isinstance(error, PluginUnavailable):
        return replace(about, state="unavailable", reason=str(error), step=error.step)
    if isinstance(error, BadSettings):
        return replace(about, state="failed", reason=str(error), step=error.step)
    if isinstance(error, pluggy.PluginValidationError):
        return replace(about, state="invalid", reason=one_line(error))
    return replace(about, state="failed", reason=f"{where}: {one_line(error)}")


def _own_first(entry: tuple[importlib.metadata.EntryPoint, importlib.metadata.Distribution]) -> tuple[str, bool, str]:
    point, distribution = entry
    return point.name, distribution.metadata["Name"] != NAME, distribution.metadata["Name"]


def _check_implementations(callers: Sequence[pluggy.HookCaller], plugin: object) -> None:
    if not callers:
        raise pluggy.PluginValidationError(plugin, "it implements no hook: mark its functions with @core.hookimpl")
    for caller in callers:
        ours = [impl for impl in caller.get_hookimpls() if impl.plugin is plugin]
        for impl in ours:
            defaults = [
                name
                for name, parameter in inspect.signature(impl.function).parameters.items()
                if parameter.default is not parameter.empty
            ]
            if defaults:
                raise pluggy.PluginValidationError(
                    plugin, f"{caller.name}: the argument {defaults[0]!r} has a default, so pluggy would not pass it"
                )
            if impl.hookwrapper:
                raise pluggy.PluginValidationError(
                    plugin, f"{caller.name}: old-style wrapper; write @hookimpl(wrapper=True) and return the result"
                )
        if len({impl.wrapper for impl in ours}) > 1:
            raise pluggy.PluginValidationError(
                plugin, f"{caller.name}: one plugin can't both do it and wrap it; split it in two plugins"
            )


def one_line(error: BaseException) -> str:
    """Say an exception in one line."""
    if isinstance(error, ValidationError):
        return f"a wrong {error.title}: {validation_messages.told(error)}"
    words = " ".join(str(error).split()) or "no message"
    return (
        words if isinstance(error, AmphipodError | pluggy.PluginValidationError) else f"{type(error).__name__}: {words}"
    )
