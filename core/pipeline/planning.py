"""Who does a step, and with which options: checked before any work, then fixed for all hosts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from core import validation_messages
from core.errors import AmbiguousEngine, BadCall, BadSettings, EngineMissing, OptionConflict, Transient
from core.model import BUILT_IN, COMPOSE, Job, Plan, Step, StepSpec
from core.plugin_host.manager import Manager
from core.settings import Settings
from core.storage import conflicts, files
from core.storage.job_folder import JobFolder


@dataclass(frozen=True)
class Host:
    """What this process works with."""

    settings: Settings
    manager: Manager


def check(host: Host, job: Job, *, elsewhere: bool = False) -> None:
    """Refuse now what could only fail later: an unknown option, a missing or ambiguous engine.

    `elsewhere` says that other hosts will do the job: what is not installed here is left to them.

    Raises:
        BadCall
        WouldReplace: its files would take the place of others that are not its own.
    """

    def is_known(step: Step) -> bool:
        present = host.manager.engines(step)
        return bool(present) and job.engines.get(step, present[0]) in present

    known = [step for step in job.steps if not elsewhere or is_known(step)]
    if len(known) == len(job.steps):
        check_options(host.manager, job)
    if not elsewhere and (problem := unknown_options(host.manager)):
        raise BadSettings(f"AMPHIPOD_OPTIONS: {problem}")
    plans = {step: make_plan(host.manager, job, step) for step in known}
    for step, plan in plans.items():
        with suppress(EngineMissing) if elsewhere else nullcontext():
            host.manager.check_step(job, step, plan)
    if not JobFolder(host.settings.jobs_root, job.id).request.exists():  # else it is the same request once more
        foresee(host, job, plans)


def foresee(host: Host, job: Job, plans: Mapping[Step, Plan]) -> None:
    """Refuse a job whose publish can be foretold to be refused."""
    names: conflicts.Names = {step: host.manager.file_names(job, step, plan) for step, plan in plans.items()}
    conflicts.foresee(host.settings.jobs_root, job, names, [plan.options for plan in plans.values()])


def fix_plan(host: Host, folder: JobFolder, step: Step) -> Plan:
    """Return the step's plan, made by the first host that gets here.

    Raises:
        Transient: this host has another version of an engine than the plan's.
    """
    path = folder.plan(step)
    if not path.exists():
        plan = make_plan(host.manager, folder.job(), step)
        with suppress(FileExistsError):
            files.write_once(path, plan.to_json())
    plan = Plan.model_validate_json(path.read_bytes())
    for engine in plan.engines:
        here = next((info for info in host.manager.infos if info.name == engine.plugin), None)
        if here is None or (here.distribution, here.version) != (engine.distribution, engine.version):
            found = f"{here.distribution} {here.version}" if here else "no such plugin"
            raise Transient(
                f"{step} was planned with {engine.distribution} {engine.version}, this host has {found}",
                remedy="give all hosts the same version",
                job=folder.id,
                step=step,
            )
    return plan


def choose(manager: Manager, step: Step, job: Job | None = None) -> tuple[str, ...]:
    """Return the engines to ask for `step`, in order: the job's, else the settings', else the only one.

    Raises:
        EngineMissing, AmbiguousEngine
    """
    present = manager.engines(step)
    if job and (named := job.engines.get(step)):
        wanted: tuple[str, ...] = (named,)
    else:
        wanted = manager.settings.engines.get(step, present)
        if len(present) > 1 and step not in manager.settings.engines:
            raise AmbiguousEngine(
                f"{step}: {' and '.join(present)} can all do it",
                remedy=f'name one in the job or set AMPHIPOD_ENGINES=\'{{"{step}": ["{present[0]}"]}}\'',
                step=step,
            )
    missing = [name for name in wanted if name not in present]
    if missing or not wanted:
        raise EngineMissing(_explain_missing(manager, step, missing), remedy="see `amphipod plugins`", step=step)
    return wanted


def _explain_missing(manager: Manager, step: Step, missing: Sequence[str]) -> str:
    reasons = [
        f"{info.name} is {info.state}, {info.reason}"
        for info in manager.infos
        if info.state != "ready" and (info.name in missing or info.step == step)
    ]
    who = f"no engine named {', '.join(missing)} is installed" if missing else "no engine is installed"
    return f"{step}: {who}{''.join(f' ({reason})' for reason in reasons)}"


def make_plan(manager: Manager, job: Job, step: Step) -> Plan:
    """Decide who does `step` and with which options: the job's own, else an overlay's, else the settings'.

    Raises:
        EngineMissing, AmbiguousEngine, OptionConflict
        BadCall: an option has a wrong value.
    """
    engines = choose(manager, step, job)
    schema = manager.options_schema(step, engines[0])

    def known(options: Mapping[str, Any]) -> dict[str, Any]:
        # The options of a job and of a host are for all of its steps; each takes its own.
        return {key: value for key, value in options.items() if schema is None or key in schema.model_fields}

    options = known(manager.settings.options)
    origins = dict.fromkeys(options, "settings")
    for name, overlay in manager.step_options(job, step):
        for key, value in overlay.items():
            _check_order(manager, step, key, (origins.get(key, ""), options.get(key)), (name, value))
            options[key], origins[key] = value, name
    for key, value in known(job.options).items():
        options[key], origins[key] = value, "job"
    if schema:
        options = _validated(schema, options, origins, step)
    alone = len(engines) == 1 and step == "encode" and len(job.sources) == 1  # another engine may keep time otherwise
    return Plan(
        engines=tuple(map(manager.describe, engines)),
        options=options,
        origins=origins,
        keeps_time=alone and manager.keeps_time(engines[0], job, options),
    )


def _check_order(manager: Manager, step: Step, key: str, before: tuple[str, Any], after: tuple[str, Any]) -> None:
    (one, value), (other, new_value) = before, after
    order = manager.settings.plugins_order
    if one in ("", "settings") or value == new_value or (one in order and other in order):
        return
    raise OptionConflict(
        f"{step}: plugins {one} and {other} set the option {key!r} differently",
        remedy=f"set AMPHIPOD_PLUGINS_ORDER={one},{other} (the last wins) or block one of them",
        step=step,
    )


def check_options(manager: Manager, job: Job) -> None:
    """Refuse an option of the job that none of its steps knows.

    Raises:
        BadCall: names the option, and the nearest one that exists.
    """
    schemas = [manager.options_schema(step, choose(manager, step, job)[0]) for step in job.steps]
    if None in schemas:
        return
    known = {key for schema in schemas if schema for key in schema.model_fields}
    for key in job.options:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
            raise BadCall(f"no step of this job has an option {key!r}", remedy=hint)


def unknown_options(manager: Manager) -> str | None:
    """Say which of the host's own options no step knows; if not all engines say what they know, only slips."""
    schemas = [manager.options_schema(step, name) for step in manager.steps.specs for name in manager.engines(step)]
    all_said = None not in schemas and all(map(manager.engines, manager.steps.specs))
    known = {key for schema in schemas if schema for key in schema.model_fields}
    problems = []
    for key in manager.settings.options:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.6 if all_said else 0.8)
        if key not in known and (all_said or near):
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
            problems.append(f"no step has an option {key!r}: {hint}")
    return "; ".join(problems) or None


def _validated(
    schema: type[BaseModel], options: Mapping[str, Any], origins: Mapping[str, str], step: Step
) -> dict[str, Any]:
    try:
        return schema.model_validate(options).model_dump(mode="json")
    except ValidationError as error:
        told = []
        for mistake in error.errors():
            field = validation_messages.field(mistake)
            origin = origins.get(str(mistake["loc"][0]), "job") if mistake["loc"] else "job"
            given = "" if mistake["type"] in ("missing", "extra_forbidden") else f", not {mistake['input']!r}"
            told.append(f"option {field!r} (set by {origin}) {validation_messages.words(mistake)}{given}")
        raise BadCall(f"{step}: {'; '.join(told)}", step=step) from error


def known_steps(manager: Manager, asked: Iterable[str]) -> tuple[Step, ...]:
    """Return steps, each once, in the order in which a job does them.

    Raises:
        BadCall: nobody here knows one.
    """
    asked, known = set(asked), manager.steps.specs
    if unknown := sorted(asked - known.keys()):
        near = difflib.get_close_matches(unknown[0], known, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}; a plugin may bring others"
        raise BadCall(f"no step {', '.join(unknown)} is known here", remedy=remedy)
    return manager.steps.in_order(asked)


def declared(manager: Manager, steps: Iterable[Step]) -> tuple[StepSpec, ...] | None:
    """Return what plugins declare of steps, for a job to carry: a host without the plugin need not know it."""
    specs = (manager.steps.specs[step] for step in steps)
    return tuple(spec for spec in specs if spec not in BUILT_IN) or None


def default_steps(manager: Manager, *, composed: bool) -> tuple[Step, ...]:
    """Return the steps of a job whose submitter names none; only several takes are composed."""
    return tuple(spec.name for spec in manager.steps.specs.values() if spec.default or (composed and spec == COMPOSE))


def missing_steps(manager: Manager) -> dict[Step, str]:
    """Return the steps that no installed plugin does, each with a word on how to add it."""
    missing: dict[Step, str] = {}
    for step in manager.steps.specs:
        try:
            choose(manager, step)
        except EngineMissing as error:
            missing[step] = error.message
        except AmbiguousEngine:
            pass
    return missing


def able(host: Host, job: Job) -> tuple[tuple[Step, ...], Mapping[Step, EngineMissing]]:
    """Return the steps that this host can do as it is, and why not the others: weights that are not here, say.

    A step that an option or `engines` asks for is not left out.

    Raises:
        EngineMissing: such a one can't be done, or none can.
    """
    missing: dict[Step, EngineMissing] = {}
    for step in job.steps:
        try:
            host.manager.check_step(job, step, make_plan(host.manager, job, step))
        except EngineMissing as error:
            if step in job.engines or _is_asked_by_option(host.manager, job, step):
                raise
            missing[step] = error
    if len(missing) == len(job.steps):
        raise next(iter(missing.values()))
    return tuple(step for step in job.steps if step not in missing), missing


def _is_asked_by_option(manager: Manager, job: Job, step: Step) -> bool:
    """Tell whether the job has an option that only this one of its steps knows."""
    known = {one: manager.options_schema(one, choose(manager, one, job)[0]) for one in job.steps}
    names = {one: set(schema.model_fields) if schema else set(job.options) for one, schema in known.items()}
    others = set().union(*(names[one] for one in job.steps if one != step))
    return bool(job.options.keys() & names[step] - others)
