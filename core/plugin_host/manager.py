"""The plugins of this process: one typed method a hook."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy
import structlog
from pydantic import BaseModel

from core import findings, hookspecs
from core.errors import AmphipodError, BadSettings, EngineMissing, PluginUnavailable
from core.hookspecs import NAME
from core.model import (
    Access,
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
from core.model.access import union
from core.plugin_host import answers, core_plugin
from core.plugin_host.caller import HookCaller
from core.plugin_host.loader import PluginInfo, PluginState, load
from core.plugin_host.step_table import CORE, StepTable
from core.settings import ADDRESSES, plugin_settings, redaction

if TYPE_CHECKING:
    import typer
    from fastapi import APIRouter

    from core.context import Context
    from core.settings import Settings

_log = structlog.get_logger()


class Manager:
    """The plugins of this process. One typed method a hook; nothing else touches pluggy."""

    def __init__(self, settings: Settings) -> None:
        """Load the plugins that the settings allow.

        Raises:
            BadSettings: `plugins_strict` is set and a plugin is broken.
        """
        self.settings = settings
        self._plugins = pluggy.PluginManager(NAME)
        self._plugins.add_hookspecs(hookspecs)
        # Historic and called before any registration, so that each plugin is configured within its own try.
        self._plugins.hook.configure.call_historic(kwargs={"settings": settings})
        self._plugins.register(core_plugin, name=CORE)
        self.infos: tuple[PluginInfo, ...] = tuple(load(self._plugins, settings))
        self._caller = HookCaller(self._plugins)
        self.steps = self._declared()
        #: Plugins' own settings, by plugin, as they are in force.
        self.own_settings = self._read_settings()
        broken = [info for info in self.infos if info.is_broken]
        for info in broken:
            _log.warning("plugin left out", plugin=info.name, distribution=info.distribution, reason=info.reason)
        if broken and settings.plugins_strict:
            raise BadSettings(
                "; ".join(f"plugin {info.name} ({info.distribution} {info.version}): {info.reason}" for info in broken),
                remedy="mend or uninstall it, or unset AMPHIPOD_PLUGINS_STRICT",
            )

    def _declared(self) -> StepTable:
        """Gather the steps that plugins bring; one that contradicts another is left out, with its plugin."""
        table = StepTable()
        providers = self._caller.providers("register_steps")
        for name in (CORE, *sorted(providers - {CORE})):
            try:
                for answer in self._caller.ask("register_steps", name):
                    table.add(name, answer)
            except AmphipodError as error:
                self._leave_out(name, "invalid", error)
        return table

    def _read_settings(self) -> Mapping[str, BaseModel]:
        """Read the settings that plugins declare; one whose own are wrong is left out."""
        found: dict[str, BaseModel] = {}
        for name in sorted(self._caller.providers("register_settings")):
            try:
                for model in self._caller.ask("register_settings", name):
                    found[name] = self.settings.of_plugin(name, model)
            except AmphipodError as error:
                self._leave_out(name, "failed", error)
        return found

    @property
    def own_variables(self) -> Mapping[str, Collection[str]]:
        """Variables of the environment that plugins say they read, by plugin."""
        return {
            name: [plugin_settings.variable(name, field) for field in type(own).model_fields]
            for name, own in self.own_settings.items()
        }

    def settings_for_child(self, plugins: Container[str]) -> Settings:
        """Return the settings of a child process in which `plugins` work: it gets their secrets, and nobody else's.

        An address may hold a password too, and a step has no business with those of brokers and portals.
        """
        tables = {name: table for name, table in self.settings.plugin.items() if name in plugins}
        for name, own in self.own_settings.items():
            # What isn't revealed is a SecretStr still, which is serialised as asterisks.
            dumped = own.model_dump()
            works = name in plugins
            tables[name] = plugin_settings.revealed(dumped) if works else redaction.without_passwords(dumped, mark="")
        return self.settings.model_copy(update={**dict.fromkeys(ADDRESSES), "plugin": tables})

    def _leave_out(self, name: str, state: PluginState, error: AmphipodError) -> None:
        self._plugins.unregister(name=name)
        self.infos = tuple(
            replace(info, state=state, reason=str(error), hooks=()) if info.name == name else info
            for info in self.infos
        )

    def engines(self, step: Step) -> tuple[str, ...]:
        """Return the plugins that can do `step`, by name."""
        spec = self.steps.specs.get(step)
        if spec is None:
            return ()
        able = self._caller.providers(spec.hook)
        return tuple(sorted(able & set(self.steps.owners[step]) if spec.hook == "run_step" else able))

    def describe(self, name: str) -> Engine:
        info = next(info for info in self.infos if info.name == name)
        return Engine(plugin=info.name, distribution=info.distribution, version=info.version)

    def can_divide(self, step: Step, engine: str) -> bool:
        """Tell whether an engine can do a step in parts."""
        return step == "encode" and all(
            engine in self._caller.providers(hook) for hook in ("divide", "encode_part", "join")
        )

    def check_step(self, job: Job, step: Step, plan: Plan) -> None:
        """Have the first engine of a plan say whether it can do this.

        Raises:
            EngineMissing: not on this host.
            BadCall: nowhere.
        """
        if step == "transcribe" and not self._caller.providers("write_captions"):
            raise EngineMissing("transcribe: no installed plugin writes captions", remedy="see `amphipod plugins`")
        engine = plan.engines[0].plugin
        try:
            if engine in self._caller.providers("check_step"):
                self._caller.ask("check_step", engine, job=job, step=step, options=plan.options)
        except PluginUnavailable as error:
            raise EngineMissing(f"{step}: {error.message}", remedy=error.remedy, step=step) from error

    def options_schema(self, step: Step, engine: str) -> type[BaseModel] | None:
        schema: type[BaseModel] | None = self._caller.ask("options_schema", engine, step=step)
        return schema

    def step_options(self, job: Job, step: Step) -> list[tuple[str, Mapping[str, Any]]]:
        """Return each plugin's overlay with its name, in the order in which they are merged."""
        order = self.settings.plugins_order
        names = sorted(
            self._caller.providers("step_options"),
            key=lambda name: (order.index(name) if name in order else -1, name),
        )
        overlays = [(name, self._caller.ask("step_options", name, job=job, step=step)) for name in names]
        return [(name, answer) for name, answers in overlays for answer in answers]

    def working(self, step: Step, plan: Plan) -> set[str]:
        """Return the plugins that do a step: its engines, and for captions those who write them."""
        writers = self._caller.providers("write_captions") if step == "transcribe" else set()
        return {*(engine.plugin for engine in plan.engines), *writers}

    def child_access(self, job: Job, step: Step, plan: Plan) -> Access:
        """Return what those who do a step need beside what every step gets."""
        asked = sorted(self.working(step, plan) & self._caller.providers("child_access"))
        return union(
            answer
            for name in asked
            for answer in self._caller.ask("child_access", name, job=job, step=step, options=plan.options)
        )

    def file_names(self, job: Job, step: Step, plan: Plan) -> tuple[str, ...] | None:
        """Return patterns of the names that a step's files may have; None when one of those who write doesn't say."""
        writers = (
            sorted(self._caller.providers("write_captions"))
            if step == "transcribe"
            else [engine.plugin for engine in plan.engines]
        )
        if not set(writers) <= self._caller.providers("file_names"):
            return None
        answers = [
            answer
            for name in writers
            for answer in self._caller.ask("file_names", name, job=job, step=step, options=plan.options)
        ]
        return tuple(pattern for answer in answers for pattern in answer)

    def encode(
        self, engine: str, job: Job, source: Source, options: Mapping[str, Any], context: Context
    ) -> StepOutput | None:
        answer: StepOutput | None = self._caller.ask(
            "encode", engine, job=job, source=source, options=options, context=context
        )
        return answer

    def keeps_time(self, engine: str, job: Job, options: Mapping[str, Any]) -> bool:
        """Tell whether an engine's film of this job has the source's own time; without a word it has not."""
        if engine not in self._caller.providers("keeps_time"):
            return False
        return bool(self._caller.ask("keeps_time", engine, job=job, options=options))

    def divide(
        self, engine: str, job: Job, source: Source, options: Mapping[str, Any], context: Context
    ) -> Division | None:
        answer: Division | None = self._caller.ask(
            "divide", engine, job=job, source=source, options=options, context=context
        )
        return answer

    def encode_part(
        self, engine: str, job: Job, source: Source, part: Part, options: Mapping[str, Any], context: Context
    ) -> PartOutput | None:
        answer: PartOutput | None = self._caller.ask(
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
        answer: StepOutput | None = self._caller.ask(
            "join", engine, job=job, source=source, parts=parts, options=options, context=context
        )
        return answer

    def compose(
        self, engine: str, job: Job, sources: Sequence[Source], options: Mapping[str, Any], context: Context
    ) -> StepOutput | None:
        answer: StepOutput | None = self._caller.ask(
            "compose", engine, job=job, sources=sources, options=options, context=context
        )
        return answer

    def transcribe(
        self, engine: str, job: Job, audio: Path, options: Mapping[str, Any], context: Context
    ) -> Transcript | None:
        answer: Transcript | None = self._caller.ask(
            "transcribe", engine, job=job, audio=audio, options=options, context=context
        )
        return answer

    def run_step(
        self, engine: str, job: Job, step: Step, manifest: Manifest, options: Mapping[str, Any], context: Context
    ) -> StepOutput | None:
        answer: StepOutput | None = self._caller.ask(
            "run_step", engine, job=job, step=step, manifest=manifest, options=options, context=context
        )
        return answer

    def write_captions(
        self, job: Job, transcript: Transcript, options: Mapping[str, Any], context: Context
    ) -> tuple[Artifact | StepOutput, ...]:
        asked = self._caller.gather("write_captions", job=job, transcript=transcript, options=options, context=context)
        return tuple(asked)

    def build_statements(self, job: Job, manifest: Manifest) -> list[Statement]:
        return list(self._caller.gather("build_statements", job=job, manifest=manifest))

    def check_statement(self, statement: Statement) -> str | None:
        complaint: str | None = self._caller.call(self._plugins.hook.check_statement, statement=statement)
        answers.check("check_statement", " or ".join(sorted(self._caller.providers("check_statement"))), complaint)
        return complaint

    def prepare_statement(self, statement: Statement, destination: Destination, job: Job | None) -> Statement | None:
        """Pass a statement through every plugin in turn; None when one of them drops it."""
        for name, caller in self._preparers:
            for answer in self._caller.call(caller, statement=statement, destination=destination, job=job):
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
        return tuple((name, self._caller.only("prepare_statement", name)) for _, name in order)

    def statement_destinations(self) -> list[Destination]:
        return list(self._caller.gather("statement_destinations"))

    def examine_host(self) -> list[findings.Finding]:
        return list(self._caller.gather("examine_host"))

    def emit_statement(
        self, engine: str, statements: Sequence[Statement], destination: Destination
    ) -> tuple[Receipt, ...] | None:
        answer = self._caller.ask("emit_statement", engine, statements=statements, destination=destination)
        return None if answer is None else tuple(answer)

    def job_started(self, job: Job) -> None:
        self._caller.tell("job_started", job=job)

    def job_published(self, job: Job, manifest: Manifest) -> None:
        self._caller.tell("job_published", job=job, manifest=manifest)

    def job_failed(self, job: Job, result: StepResult) -> None:
        self._caller.tell("job_failed", job=job, result=result)

    def callbacks(self) -> Mapping[str, Callable[[Any], Any]]:
        """Return the ways of telling portals that plugins bring, by kind; of two that bring one the first by name."""
        found: dict[str, Callable[[Any], Any]] = {}
        for name in sorted(self._caller.providers("register_callbacks")):
            for answer in self._caller.ask("register_callbacks", name):
                for kind, tell in answer.items():
                    found.setdefault(kind, self._caller.guarded(f"callback {kind}", name, tell))
        return found

    def register_routes(self, app: APIRouter) -> None:
        self._caller.tell("register_routes", app=app)

    def register_commands(self, cli: typer.Typer) -> None:
        self._caller.tell("register_commands", cli=cli)


def specifications() -> list[tuple[str, Callable[..., object]]]:
    """Return each hook with the function that specifies it, in the order of core/hookspecs.py."""
    return [(name, function) for name, function in vars(hookspecs).items() if hasattr(function, f"{NAME}_spec")]
