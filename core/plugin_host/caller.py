"""Calls the hooks of plugins: one, all, or each for itself; every error names its plugin."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
import structlog

from core.errors import AmphipodError, HookFailed
from core.plugin_host import answers, output
from core.plugin_host.loader import one_line
from core.storage import files

_log = structlog.get_logger()


class HookCaller:
    """Nothing else calls a hook of pluggy's."""

    def __init__(self, plugins: pluggy.PluginManager) -> None:
        self._plugins = plugins

    def providers(self, hook: str) -> set[str]:
        caller: pluggy.HookCaller = getattr(self._plugins.hook, hook)
        return {impl.plugin_name for impl in caller.get_hookimpls() if not impl.wrapper}

    def only(self, hook: str, provider: str) -> pluggy.HookCaller:
        """Return the hook with `provider` as its only provider; wrappers stay around it."""
        others = [self._plugins.get_plugin(name) for name in self.providers(hook) - {provider}]
        return self._plugins.subset_hook_caller(hook, [plugin for plugin in others if plugin is not None])

    def ask(self, hook: str, provider: str, **arguments: Any) -> Any:
        """Call one plugin's hook, with the wrappers around it, and check what it answers."""
        answer = self.call(self.only(hook, provider), **arguments)
        first = self._plugins.hook.__dict__[hook].spec.opts["firstresult"]
        for one in [answer] if first else answer:
            answers.check(hook, provider, one)
        return answer

    def gather(self, hook: str, **arguments: Any) -> Iterator[Any]:
        """Yield what all plugins answer to a hook that asks for lists, in the order in which pluggy would call them."""
        caller: pluggy.HookCaller = getattr(self._plugins.hook, hook)
        names = [impl.plugin_name for impl in reversed(caller.get_hookimpls()) if not impl.wrapper]
        for name in names:
            for answer in self.ask(hook, name, **arguments):
                yield from answer if isinstance(answer, Sequence) else [answer]

    def call(self, caller: pluggy.HookCaller, **arguments: Any) -> Any:
        """Call a hook; an exception of a plugin's own becomes HookFailed, and every error names the plugin."""
        try:
            with output.on_stderr:
                return caller(**arguments)
        except AmphipodError as error:
            error.plugin = error.plugin or self._blame(error)
            raise
        except Exception as error:
            plugin = self._blame(error)
            if files.is_full(error) and "context" in arguments:
                raise files.no_space(arguments["context"].output) from error
            failed = HookFailed(f"plugin {plugin} failed in {caller.name}: {one_line(error)}", plugin=plugin)
            failed.trace = self._own_trace(error, plugin)
            raise failed from error

    def guarded(self, what: str, plugin: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return a function of a plugin's, whose own exceptions become HookFailed."""

        def call(argument: Any) -> Any:
            try:
                with output.on_stderr:
                    return function(argument)
            except AmphipodError as error:
                error.plugin = error.plugin or plugin
                raise
            except Exception as error:
                raise HookFailed(f"plugin {plugin} failed in {what}: {one_line(error)}", plugin=plugin) from error

        return call

    def tell(self, hook: str, **arguments: Any) -> None:
        """Call an observer's hook: each plugin for itself, so that one failure hides nothing from the next."""
        for name in sorted(self.providers(hook)):
            try:
                self.call(self.only(hook, name), **arguments)
            except AmphipodError:
                _log.exception("observer failed", plugin=name, hook=hook)

    def _blame(self, error: BaseException) -> str | None:
        """Return the plugin in whose code the error arose: the deepest frame that belongs to one."""
        homes = {name: home for name, plugin in self._plugins.list_name_plugin() if (home := _home(plugin))}
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            for name, home in homes.items():
                if Path(frame.filename).is_relative_to(home):
                    return name
        return None

    def _own_trace(self, error: BaseException, plugin: str | None) -> str:
        """Return a trace that begins where the plugin's own code does."""
        trace = traceback.TracebackException.from_exception(error)
        if plugin and (home := _home(self._plugins.get_plugin(plugin))):
            inside = [at for at, frame in enumerate(trace.stack) if Path(frame.filename).is_relative_to(home)]
            del trace.stack[: min(inside, default=0)]
        return "".join(trace.format())


def _home(plugin: object) -> Path | None:
    """Return the file of a plugin's module, or its folder when it is a package."""
    module = plugin if isinstance(plugin, ModuleType) else inspect.getmodule(type(plugin))
    file = getattr(module, "__file__", None)
    if file is None:
        return None
    return Path(file).parent if hasattr(module, "__path__") else Path(file)
