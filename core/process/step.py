"""What each step calls, and how one hands over to the next: through the manifest, by kind of artifact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from core.context import Context
from core.errors import EngineMissing, Permanent
from core.model import Division, Engine, Job, Plan, Source, Step, StepOutput, Work
from core.plugin_host.manager import Manager


def run(
    step: Step, work: Work, manager: Manager, job: Job, plan: Plan, context: Context
) -> tuple[Engine, StepOutput | Division]:
    """Do a step, or what `work` says of it, with the first of the planned engines that does not decline."""
    for engine in plan.engines:
        output = _do(step, work, manager, engine.plugin, job, plan, context)
        if output is not None:
            return engine, output
    if work.verb == "divide":
        return plan.engines[0], Division()
    names = ", ".join(engine.plugin for engine in plan.engines)
    raise Permanent(f"{step}: declined by {names}", remedy="name another engine", step=step)


def _do(
    step: Step, work: Work, manager: Manager, engine: str, job: Job, plan: Plan, context: Context
) -> StepOutput | Division | None:
    if work.verb == "whole":
        return _STEPS[step](manager, engine, job, plan, context)
    if not manager.can_divide(step, engine):
        return None
    source = _source(job, context)
    if work.verb == "divide":
        context.doing("looking where it can be divided")
        return manager.divide(engine, job, source, plan.options, context)
    if work.verb == "part":
        assert work.part
        return manager.encode_part(engine, job, source, work.part, plan.options, context)
    context.doing("joining the parts")
    return manager.join(engine, job, source, work.parts, plan.options, context)


def _compose(manager: Manager, engine: str, job: Job, plan: Plan, context: Context) -> StepOutput | None:
    return manager.compose(engine, job, job.sources, plan.options, context)


def _encode(manager: Manager, engine: str, job: Job, plan: Plan, context: Context) -> StepOutput | None:
    return manager.encode(engine, job, _source(job, context), plan.options, context)


def _source(job: Job, context: Context) -> Source:
    """Return the film that a step before has composed, or the job's own source."""
    film = _made(context, "film")
    return Source(path=film) if film else job.source


def _transcribe(manager: Manager, engine: str, job: Job, plan: Plan, context: Context) -> StepOutput | None:
    transcript = manager.transcribe(engine, job, _made(context, "audio") or job.source.path, plan.options, context)
    if transcript is None:
        return None
    captions = [
        artifact
        for one in (transcript, *transcript.translations)
        for artifact in manager.write_captions(job, one, plan.options, context)
    ]
    if not captions:
        raise EngineMissing("transcribe: no installed plugin writes captions", remedy="see `amphipod plugins`")
    facts = {**transcript.facts, "language": transcript.language}
    return StepOutput(artifacts=tuple(captions), facts=facts, notes=transcript.notes)


def _made(context: Context, kind: str) -> Path | None:
    """Return the first file of a kind that a step before has made."""
    for made in context.manifest.steps.values():
        for artifact in made.artifacts:
            if artifact.kind == kind and made.folder:
                return context.job_folder / made.folder / artifact.path
    return None


#: `emit` runs in no child process: core/statements/emit_step.py.
_STEPS: Mapping[Step, Callable[[Manager, str, Job, Plan, Context], StepOutput | None]] = {
    "compose": _compose,
    "encode": _encode,
    "transcribe": _transcribe,
}
