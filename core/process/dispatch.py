"""What each step calls, and how one hands over to the next: through the manifest, by kind of artifact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from core.context import Context
from core.errors import EngineMissing, Permanent
from core.model import Artifact, Division, Engine, Job, Plan, Source, Step, StepOutput, Work
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
        return _HOOKS[job.spec(step).hook](manager, engine, job, plan, context)
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
    film = context.made("film")
    return Source(path=film) if film else job.source


def _transcribe(manager: Manager, engine: str, job: Job, plan: Plan, context: Context) -> StepOutput | None:
    transcript = manager.transcribe(engine, job, context.made("audio") or job.source.path, plan.options, context)
    if transcript is None:
        return None
    artifacts: list[Artifact] = []
    facts: dict[str, Any] = {}
    notes: list[str] = []
    for one in (transcript, *transcript.translations):
        for answer in manager.write_captions(job, one, plan.options, context):
            told = answer if isinstance(answer, StepOutput) else StepOutput(artifacts=(answer,))
            artifacts += told.artifacts
            facts = {**told.facts, **facts}  # what was spoken comes before its translations
            notes += told.notes
    if not artifacts:
        raise EngineMissing("transcribe: no installed plugin writes captions", remedy="see `amphipod plugins`")
    facts |= {**transcript.facts, "language": transcript.language}
    for note in notes:
        context.log.warning(note)
    return StepOutput(artifacts=tuple(artifacts), facts=facts, notes=(*transcript.notes, *notes))


def _run_step(manager: Manager, engine: str, job: Job, plan: Plan, context: Context) -> StepOutput | None:
    return manager.run_step(engine, job, context.step, context.manifest, plan.options, context)


#: By the hook that a step is declared with; one that is done inline runs in no child process.
_HOOKS: Mapping[str, Callable[[Manager, str, Job, Plan, Context], StepOutput | None]] = {
    "compose": _compose,
    "encode": _encode,
    "transcribe": _transcribe,
    "run_step": _run_step,
}
