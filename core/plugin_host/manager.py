"""The pluggy host: finds the plugins, keeps the broken ones out, chooses who does a step, calls the hooks."""

from __future__ import annotations

import difflib
import importlib.metadata
import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import pluggy
import structlog
from pydantic import BaseModel, ValidationError

from core import hookspecs, mistakes
from core.errors import (
    AmbiguousEngine,
    AmphipodError,
    BadCall,
    BadSettings,
    EngineMissing,
    HookFailed,
    OptionConflict,
    PluginUnavailable,
)
from core.hookspecs import NAME
from core.model import (
    STEPS,
    Artifact,
    Destination,
    Division,
    Engine,
    Job,
    Manifest,
    Part,
    PartOutput,
    Plan,
    Receipt,
    Source,
    Statement,
    Step,
    StepOutput,
    StepResult,
    Transcript,
)
from core.plugin_host import answers, output
from core.storage import files

if TYPE_CHECKING:
    import typer

    from core.context import Context
    from core.settings import Settings

#: The hook that does a step; who implements it is an engine.
ENGINE_HOOKS: Mapping[Step, str] = {
    "compose": "compose",
    "encode": "encode",
    "transcribe": "transcribe",
    "emit": "emit_statement",
}

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


class Manager:
    """The plugins of this process. One typed method a hook; nothing else touches pluggy."""

    def __init__(self, settings: Settings) -> None:
        """Load the plugins that the settings allow.

        Raises:
            BadSettings: `plugins_strict` is set and a plugin is broken.
        """
        self._settings = settings
        self._plugins = pluggy.PluginManager(NAME)
        self._plugins.add_hookspecs(hookspecs)
        # Historic and called before any registration, so that each plugin is configured within its own try.
        self._plugins.hook.configure.call_historic(kwargs={"settings": settings})
        self.infos: tuple[PluginInfo, ...] = tuple(self._load(settings))
        broken = [info for info in self.infos if info.is_broken]
        for info in broken:
            _log.warning("plugin left out", plugin=info.name, distribution=info.distribution, reason=info.reason)
        if broken and settings.plugins_strict:
            raise BadSettings(
                "; ".join(f"plugin {info.name} ({info.distribution} {info.version}): {info.reason}" for info in broken),
                remedy="mend or uninstall it, or unset AMPHIPOD_PLUGINS_STRICT",
            )

    # Loading

    def _load(self, settings: Settings) -> Iterator[PluginInfo]:
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
            yield self._admit(point, about)

    def _admit(self, point: importlib.metadata.EntryPoint, about: PluginInfo) -> PluginInfo:
        """Load one plugin; whatever it raises is its own affair."""
        try:
            with output.on_stderr:
                plugin = point.load()
        except Exception as error:  # noqa: BLE001  # a plugin may raise anything; it is listed with its reason
            return _refuse(about, error, f"import of {point.value}")
        try:
            with output.on_stderr:
                self._plugins.register(plugin, name=point.name)
            self._plugins.check_pending()
            _check_implementations(self._plugins.get_hookcallers(plugin) or [], plugin)
        except Exception as error:  # noqa: BLE001  # as above
            # register() leaves a plugin half registered when `configure` raises, and check_pending() looks at all. It
            # refuses others before they are in, or because the same object is in under a name that stays.
            if self._plugins.get_plugin(point.name) is not None:
                self._plugins.unregister(name=point.name)
            return _refuse(about, error, "configure")
        return replace(about, state="ready", hooks=self._hooks_of(point.name))

    def _hooks_of(self, name: str) -> tuple[str, ...]:
        callers = self._plugins.get_hookcallers(self._plugins.get_plugin(name)) or []
        return tuple(sorted(caller.name for caller in callers))

    # Choosing

    def engines(self, step: Step) -> tuple[str, ...]:
        """Return the plugins that can do `step`, by name."""
        return tuple(sorted(self._providers(ENGINE_HOOKS[step])))

    def choose(self, step: Step, job: Job | None = None) -> tuple[str, ...]:
        """Return the engines to ask for `step`, in order: the job's, else the settings', else the only one.

        Raises:
            EngineMissing, AmbiguousEngine
        """
        present = self.engines(step)
        if job and (named := job.engines.get(step)):
            wanted: tuple[str, ...] = (named,)
        else:
            wanted = self._settings.engines.get(step, present)
            if len(present) > 1 and step not in self._settings.engines:
                raise AmbiguousEngine(
                    f"{step}: {' and '.join(present)} can all do it",
                    remedy=f'name one in the job or set AMPHIPOD_ENGINES=\'{{"{step}": ["{present[0]}"]}}\'',
                    step=step,
                )
        missing = [name for name in wanted if name not in present]
        if missing or not wanted:
            raise EngineMissing(self._explain_missing(step, missing), remedy="see `amphipod plugins`", step=step)
        return wanted

    def _explain_missing(self, step: Step, missing: Sequence[str]) -> str:
        reasons = [
            f"{info.name} is {info.state}, {info.reason}"
            for info in self.infos
            if info.state != "ready" and (info.name in missing or info.step == step)
        ]
        who = f"no engine named {', '.join(missing)} is installed" if missing else "no engine is installed"
        return f"{step}: {who}{''.join(f' ({reason})' for reason in reasons)}"

    def describe(self, name: str) -> Engine:
        info = next(info for info in self.infos if info.name == name)
        return Engine(plugin=info.name, distribution=info.distribution, version=info.version)

    def can_divide(self, step: Step, engine: str) -> bool:
        """Tell whether an engine can do a step in parts."""
        return step == "encode" and all(engine in self._providers(hook) for hook in ("divide", "encode_part", "join"))

    # Options

    def plan(self, job: Job, step: Step) -> Plan:
        """Decide who does `step` and with which options: the job's own, else an overlay's, else the settings'.

        Raises:
            EngineMissing, AmbiguousEngine, OptionConflict
            BadCall: an option has a wrong value.
        """
        engines = self.choose(step, job)
        schema = self.options_schema(step, engines[0])

        def known(options: Mapping[str, Any]) -> dict[str, Any]:
            # The options of a job and of a host are for all of its steps; each takes its own.
            return {key: value for key, value in options.items() if schema is None or key in schema.model_fields}

        options = known(self._settings.options)
        origins = dict.fromkeys(options, "settings")
        for name, overlay in self.step_options(job, step):
            for key, value in overlay.items():
                self._check_order(step, key, (origins.get(key, ""), options.get(key)), (name, value))
                options[key], origins[key] = value, name
        for key, value in known(job.options).items():
            options[key], origins[key] = value, "job"
        if schema:
            options = _validated(schema, options, origins, step)
        return Plan(engines=tuple(map(self.describe, engines)), options=options, origins=origins)

    def _check_order(self, step: Step, key: str, before: tuple[str, Any], after: tuple[str, Any]) -> None:
        (one, value), (other, new_value) = before, after
        order = self._settings.plugins_order
        if one in ("", "settings") or value == new_value or (one in order and other in order):
            return
        raise OptionConflict(
            f"{step}: plugins {one} and {other} set the option {key!r} differently",
            remedy=f"set AMPHIPOD_PLUGINS_ORDER={one},{other} (the last wins) or block one of them",
            step=step,
        )

    def check_options(self, job: Job) -> None:
        """Refuse an option of the job that none of its steps knows.

        Raises:
            BadCall: names the option, and the nearest one that exists.
        """
        schemas = [self.options_schema(step, self.choose(step, job)[0]) for step in job.steps]
        if None in schemas:
            return
        known = {key for schema in schemas if schema for key in schema.model_fields}
        for key in job.options:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
                raise BadCall(f"no step of this job has an option {key!r}", remedy=hint)

    def unknown_options(self) -> str | None:
        """Say which of the host's own options no step knows; if not all engines say what they know, only slips."""
        schemas = [self.options_schema(step, name) for step in STEPS for name in self.engines(step)]
        all_said = None not in schemas and all(map(self.engines, STEPS))
        known = {key for schema in schemas if schema for key in schema.model_fields}
        problems = []
        for key in self._settings.options:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.6 if all_said else 0.8)
            if key not in known and (all_said or near):
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
                problems.append(f"no step has an option {key!r}: {hint}")
        return "; ".join(problems) or None

    # Hooks, one method each

    def check_step(self, job: Job, step: Step, plan: Plan) -> None:
        """Have the first engine of a plan say whether it can do this.

        Raises:
            EngineMissing: not on this host.
            BadCall: nowhere.
        """
        if step == "transcribe" and not self._providers("write_captions"):
            raise EngineMissing("transcribe: no installed plugin writes captions", remedy="see `amphipod plugins`")
        engine = plan.engines[0].plugin
        try:
            if engine in self._providers("check_step"):
                self._ask("check_step", engine, job=job, step=step, options=plan.options)
        except PluginUnavailable as error:
            raise EngineMissing(f"{step}: {error.message}", remedy=error.remedy, step=step) from error

    def options_schema(self, step: Step, engine: str) -> type[BaseModel] | None:
        schema: type[BaseModel] | None = self._ask("options_schema", engine, step=step)
        return schema

    def step_options(self, job: Job, step: Step) -> list[tuple[str, Mapping[str, Any]]]:
        """Return each plugin's overlay with its name, in the order in which they are merged."""
        order = self._settings.plugins_order
        names = sorted(
            self._providers("step_options"),
            key=lambda name: (order.index(name) if name in order else -1, name),
        )
        overlays = [(name, self._ask("step_options", name, job=job, step=step)) for name in names]
        return [(name, answer) for name, answers in overlays for answer in answers]

    def file_names(self, job: Job, step: Step, plan: Plan) -> tuple[str, ...] | None:
        """Return patterns of the names that a step's files may have; None when one of those who write doesn't say."""
        writers = (
            sorted(self._providers("write_captions"))
            if step == "transcribe"
            else [engine.plugin for engine in plan.engines]
        )
        if not set(writers) <= self._providers("file_names"):
            return None
        answers = [
            answer
            for name in writers
            for answer in self._ask("file_names", name, job=job, step=step, options=plan.options)
        ]
        return tuple(pattern for answer in answers for pattern in answer)

    def encode(
        self, engine: str, job: Job, source: Source, options: Mapping[str, Any], context: Context
    ) -> StepOutput | None:
        answer: StepOutput | None = self._ask(
            "encode", engine, job=job, source=source, options=options, context=context
        )
        return answer

    def divide(
        self, engine: str, job: Job, source: Source, options: Mapping[str, Any], context: Context
    ) -> Division | None:
        answer: Division | None = self._ask("divide", engine, job=job, source=source, options=options, context=context)
        return answer

    def encode_part(
        self, engine: str, job: Job, source: Source, part: Part, options: Mapping[str, Any], context: Context
    ) -> PartOutput | None:
        answer: PartOutput | None = self._ask(
            "encode_part", engine, job=job, source=source, part=part, options=options, context=context
        )
        return answer

    def join(
        self,
        engine: str,
        job: Job,
        source: Source,
        parts: Sequence[PartOutput],
        options: Mapping[str, Any],
        context: Context,
    ) -> StepOutput | None:
        answer: StepOutput | None = self._ask(
            "join", engine, job=job, source=source, parts=parts, options=options, context=context
        )
        return answer

    def compose(
        self, engine: str, job: Job, sources: Sequence[Source], options: Mapping[str, Any], context: Context
    ) -> StepOutput | None:
        answer: StepOutput | None = self._ask(
            "compose", engine, job=job, sources=sources, options=options, context=context
        )
        return answer

    def transcribe(
        self, engine: str, job: Job, audio: Path, options: Mapping[str, Any], context: Context
    ) -> Transcript | None:
        answer: Transcript | None = self._ask(
            "transcribe", engine, job=job, audio=audio, options=options, context=context
        )
        return answer

    def write_captions(
        self, job: Job, transcript: Transcript, options: Mapping[str, Any], context: Context
    ) -> tuple[Artifact, ...]:
        return tuple(self._gather("write_captions", job=job, transcript=transcript, options=options, context=context))

    def build_statements(self, job: Job, manifest: Manifest) -> list[Statement]:
        return list(self._gather("build_statements", job=job, manifest=manifest))

    def check_statement(self, statement: Statement) -> str | None:
        complaint: str | None = self._call(self._plugins.hook.check_statement, statement=statement)
        answers.check("check_statement", " or ".join(sorted(self._providers("check_statement"))), complaint)
        return complaint

    def prepare_statement(self, statement: Statement, destination: Destination, job: Job | None) -> Statement | None:
        """Pass a statement through every plugin in turn; None when one of them drops it."""
        for name, caller in self._preparers:
            for answer in self._call(caller, statement=statement, destination=destination, job=job):
                if answer is hookspecs.DROP:
                    return None
                answers.check("prepare_statement", name, answer)
                statement = answer
        return statement

    @cached_property
    def _preparers(self) -> tuple[tuple[str, pluggy.HookCaller], ...]:
        """Each plugin's `prepare_statement`, by name, those marked trylast at the end."""
        caller: pluggy.HookCaller = self._plugins.hook.prepare_statement
        order = sorted((impl.trylast, impl.plugin_name) for impl in caller.get_hookimpls() if not impl.wrapper)
        return tuple((name, self._only("prepare_statement", name)) for _, name in order)

    def statement_destinations(self) -> list[Destination]:
        return list(self._gather("statement_destinations"))

    def emit_statement(
        self, engine: str, statements: Sequence[Statement], destination: Destination
    ) -> tuple[Receipt, ...] | None:
        answer = self._ask("emit_statement", engine, statements=statements, destination=destination)
        return None if answer is None else tuple(answer)

    def job_started(self, job: Job) -> None:
        self._tell("job_started", job=job)

    def job_published(self, job: Job, manifest: Manifest) -> None:
        self._tell("job_published", job=job, manifest=manifest)

    def job_failed(self, job: Job, result: StepResult) -> None:
        self._tell("job_failed", job=job, result=result)

    def register_commands(self, cli: typer.Typer) -> None:
        self._tell("register_commands", cli=cli)

    # Calling

    def _providers(self, hook: str) -> set[str]:
        caller: pluggy.HookCaller = getattr(self._plugins.hook, hook)
        return {impl.plugin_name for impl in caller.get_hookimpls() if not impl.wrapper}

    def _only(self, hook: str, provider: str) -> pluggy.HookCaller:
        """Return the hook with `provider` as its only provider; wrappers stay around it."""
        others = [self._plugins.get_plugin(name) for name in self._providers(hook) - {provider}]
        return self._plugins.subset_hook_caller(hook, [plugin for plugin in others if plugin is not None])

    def _ask(self, hook: str, provider: str, **arguments: Any) -> Any:
        """Call one plugin's hook, with the wrappers around it, and check what it answers."""
        answer = self._call(self._only(hook, provider), **arguments)
        first = self._plugins.hook.__dict__[hook].spec.opts["firstresult"]
        for one in [answer] if first else answer:
            answers.check(hook, provider, one)
        return answer

    def _gather(self, hook: str, **arguments: Any) -> Iterator[Any]:
        """Yield what all plugins answer to a hook that asks for lists, in the order in which pluggy would call them."""
        caller: pluggy.HookCaller = getattr(self._plugins.hook, hook)
        names = [impl.plugin_name for impl in reversed(caller.get_hookimpls()) if not impl.wrapper]
        for name in names:
            for answer in self._ask(hook, name, **arguments):
                yield from answer

    def _call(self, caller: pluggy.HookCaller, **arguments: Any) -> Any:
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
            failed = HookFailed(f"plugin {plugin} failed in {caller.name}: {_describe(error)}", plugin=plugin)
            failed.trace = self._own_trace(error, plugin)
            raise failed from error

    def _tell(self, hook: str, **arguments: Any) -> None:
        """Call an observer's hook: each plugin for itself, so that one failure hides nothing from the next."""
        for name in sorted(self._providers(hook)):
            try:
                self._call(self._only(hook, name), **arguments)
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


def _refuse(about: PluginInfo, error: Exception, where: str) -> PluginInfo:
    _log.debug("plugin refused", plugin=about.name, exc_info=error)
    if isinstance(error, PluginUnavailable):
        return replace(about, state="unavailable", reason=str(error), step=error.step)
    if isinstance(error, BadSettings):
        return replace(about, state="failed", reason=str(error), step=error.step)
    if isinstance(error, pluggy.PluginValidationError):
        return replace(about, state="invalid", reason=_describe(error))
    return replace(about, state="failed", reason=f"{where}: {_describe(error)}")


def _own_first(entry: tuple[importlib.metadata.EntryPoint, importlib.metadata.Distribution]) -> tuple[str, bool, str]:
    point, distribution = entry
    return point.name, distribution.metadata["Name"] != NAME, distribution.metadata["Name"]


def _home(plugin: object) -> Path | None:
    """Return the file of a plugin's module, or its folder when it is a package."""
    module = plugin if isinstance(plugin, ModuleType) else inspect.getmodule(type(plugin))
    file = getattr(module, "__file__", None)
    if file is None:
        return None
    return Path(file).parent if hasattr(module, "__path__") else Path(file)


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


def _validated(
    schema: type[BaseModel], options: Mapping[str, Any], origins: Mapping[str, str], step: Step
) -> dict[str, Any]:
    try:
        return schema.model_validate(options).model_dump(mode="json")
    except ValidationError as error:
        told = []
        for mistake in error.errors():
            field = mistakes.field(mistake)
            origin = origins.get(str(mistake["loc"][0]), "job") if mistake["loc"] else "job"
            given = "" if mistake["type"] in ("missing", "extra_forbidden") else f", not {mistake['input']!r}"
            told.append(f"option {field!r} (set by {origin}) {mistakes.words(mistake)}{given}")
        raise BadCall(f"{step}: {'; '.join(told)}", step=step) from error


def _describe(error: BaseException) -> str:
    """Say an exception in one line."""
    if isinstance(error, ValidationError):
        return f"a wrong {error.title}: {mistakes.told(error)}"
    words = " ".join(str(error).split()) or "no message"
    return (
        words if isinstance(error, AmphipodError | pluggy.PluginValidationError) else f"{type(error).__name__}: {words}"
    )


def specifications() -> list[tuple[str, Callable[..., object]]]:
    """Return each hook with the function that specifies it, in the order of core/hookspecs.py."""
    return [(name, function) for name, function in vars(hookspecs).items() if hasattr(function, f"{NAME}_spec")]


def missing_steps(manager: Manager) -> dict[Step, str]:
    """Return the steps that no installed plugin does, each with a word on how to add it."""
    missing: dict[Step, str] = {}
    for step in STEPS:
        try:
            manager.choose(step)
        except EngineMissing as error:
            missing[step] = error.message
        except AmbiguousEngine:
            pass
    return missing
