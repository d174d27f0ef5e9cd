"""The extension API, whole: what a plugin can do, when, and what its answer means.

A plugin is a module, or any object, that the entry point group `amphipod` names. It implements as many of these
hooks as it likes, each marked `@core.hookimpl`, and takes only the arguments that it needs. Arguments are frozen:
a plugin answers with a value or declines with None. What does a step runs in a child process, the rest in the process
that drives the job. `amphipod hooks` prints this page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    import typer
    from fastapi import APIRouter
    from pydantic import BaseModel

    from core.callbacks.delivery import Case, Verdict
    from core.context import Context
    from core.findings import Finding
    from core.model import (
        Access,
        Artifact,
        Destination,
        Division,
        Job,
        Manifest,
        Part,
        PartOutput,
        Receipt,
        Source,
        Statement,
        Step,
        StepOutput,
        StepResult,
        StepSpec,
        Transcript,
    )
    from core.settings import Settings

#: Of the markers and of the entry point group.
NAME = "amphipod"

hookspec = pluggy.HookspecMarker(NAME)
hookimpl = pluggy.HookimplMarker(NAME)

#: What `prepare_statement` answers to keep a statement from being sent.
DROP: Mapping[str, Any] = {}


# Setting up


@hookspec(historic=True)
def configure(settings: Settings) -> None:
    """Read your own settings once, when you are loaded.

    Raise `PluginUnavailable("pip install '...'")` when something is missing on this host: the plugin is then
    listed as unavailable with these words, and the others go on.

    :param settings: the host's settings; a plugin's own are the environment's `AMPHIPOD_<PLUGIN>_*`.
    """


@hookspec
def register_steps() -> Sequence[StepSpec] | None:
    """Bring kinds of steps of your own; `run_step` does them.

    A step has a queue, which `amphipod worker QUEUE` serves where your plugin is installed, and says what it needs.
    Who submits a job with it needs the plugin too. Two plugins may declare a step alike: both are engines for it.
    """


@hookspec(firstresult=True)
def options_schema(step: Step) -> type[BaseModel] | None:
    """Describe the options that your engine for `step` knows; asked of the step's engine only.

    A job's options are checked against it when the job is planned, and a mistake is refused there, by name. Without
    it every option of the job reaches the engine unchecked.

    :param step: "encode", say, or one of your own.
    :return: a pydantic model of the options and their defaults, or None for a step that isn't yours.
    """


@hookspec
def step_options(job: Job, step: Step) -> Mapping[str, Any] | None:
    """Add an institution's options to a step (renditions, a model, a watermark) under those that the job gives.

    Answers are merged in the order of the setting `plugins_order`, then by plugin name; two plugins that set one
    option differently are refused unless that setting orders them.

    :param job: the job that is being planned; read-only.
    :param step: the step that is being planned.
    :return: options by name, or None to add nothing.
    """


@hookspec
def file_names(job: Job, step: Step, options: Mapping[str, Any]) -> Sequence[str] | None:
    """Say under which names your engine for `step`, or your captions, may write files.

    Asked before any work, of who will do the step, so that a job that would replace one of its own sources, or what
    isn't its own, is refused at once. Without an answer that is found out when all is done.

    :param options: as your engine will get them.
    :return: shell patterns, `audio_192k.*`; they must cover all names and should cover no others.
    """


@hookspec(firstresult=True)
def check_step(job: Job, step: Step, options: Mapping[str, Any]) -> None:
    """Refuse before any work what your engine for `step` can't do; asked of the step's engine only, and by `doctor`.

    Raise `BadCall` for what no host could do (an unknown language), `PluginUnavailable` for what is missing on this one
    (a model's file): the first is refused also where other hosts do the job. Must be quick, and open no media.

    :param options: as your engine will get them.
    """


@hookspec
def child_access(job: Job, step: Step, options: Mapping[str, Any]) -> Access | None:
    """Say what the child process of a step needs beside its inputs, the code and its own folders.

    Asked of the plugins that work in it, before it starts. It can read nothing else of this host, write nowhere else,
    connect to nobody and start no program, where the kernel has the means (docs/service.md). Of settings it has core's
    and those of the plugins that work in it.

    :param options: as your engine will get them; files that they name can be read in any case.
    """


# The steps


@hookspec(firstresult=True)
def encode(job: Job, source: Source, options: Mapping[str, Any], context: Context) -> StepOutput | None:
    """Turn a source into everything that a portal plays.

    :param source: the file to read.
    :param options: checked against your `options_schema`, defaults included.
    :param context: where to write (`context.output`), how to report progress, when to stop.
    :return: the artifacts, or None to decline before any work or effect, so that the next engine is asked.
    """


@hookspec(firstresult=True)
def keeps_time(job: Job, options: Mapping[str, Any]) -> bool | None:
    """Say whether your film has its source's own time: nothing cut, nothing put before; asked of `encode`'s engine.

    What only listens, as the transcription does, then begins beside the encode; without an answer it comes after.

    :param options: as your engine will get them.
    """


@hookspec(firstresult=True)
def divide(job: Job, source: Source, options: Mapping[str, Any], context: Context) -> Division | None:
    """Cut a long source into parts that several workers encode; optional, and asked of the engine of `encode` only.

    Analyse the source here, once, and give each part in its `facts` what all must agree on. Cut the OUTPUT's time,
    after cut and dressing; sound is best a part of its own.

    :return: the parts, or None to have the source encoded whole.
    """


@hookspec(firstresult=True)
def encode_part(
    job: Job, source: Source, part: Part, options: Mapping[str, Any], context: Context
) -> PartOutput | None:
    """Encode one part of your own division.

    :return: its files, which only `join` will see.
    """


@hookspec(firstresult=True)
def join(
    job: Job, source: Source, parts: Sequence[PartOutput], options: Mapping[str, Any], context: Context
) -> StepOutput | None:
    """Make the whole out of all parts of your own division.

    :param parts: in the order of the division; the files of each are in its `folder`.
    :return: what `encode` would have answered.
    """


@hookspec(firstresult=True)
def compose(job: Job, sources: Sequence[Source], options: Mapping[str, Any], context: Context) -> StepOutput | None:
    """Make one film of several takes, presenter and presentation.

    :return: the film, an artifact of kind "film", which the step `encode` then takes as its source.
    """


@hookspec(firstresult=True)
def transcribe(job: Job, audio: Path, options: Mapping[str, Any], context: Context) -> Transcript | None:
    """Write down what is said.

    :param audio: the job's MP3, or its source when no step before made one.
    :return: words and segments, empty when nobody speaks; or None to decline, as in `encode`.
    """


@hookspec(firstresult=True)
def run_step(
    job: Job, step: Step, manifest: Manifest, options: Mapping[str, Any], context: Context
) -> StepOutput | None:
    """Do a step that you have declared, in a child process as all heavy ones.

    :param manifest: what the steps before have made; `context.made(kind)` gives the path of the first file of a kind.
    :param options: checked against your `options_schema`, defaults included.
    :return: the artifacts and facts, or None to decline, as in `encode`. Raise `BadSource` to fail the job with words.
    """


@hookspec
def write_captions(
    job: Job, transcript: Transcript, options: Mapping[str, Any], context: Context
) -> Sequence[Artifact] | StepOutput | None:
    """Write a transcript in one or more caption formats into `context.output`.

    Every plugin is called, in the child process of `transcribe`.

    :return: the artifacts written, or these with facts and notes about them; None.
    """


@hookspec
def build_statements(job: Job, manifest: Manifest) -> Sequence[Statement] | None:
    """Say in xAPI statements what this job did. Fails closed: an exception fails the step `emit`.

    :param manifest: what the steps before have made.
    """


@hookspec(firstresult=True)
def check_statement(statement: Statement) -> str | None:
    """Refuse a statement when it comes in, before anything is changed.

    :return: the field and what is wrong with it, or None to let it pass.
    """


@hookspec
def prepare_statement(statement: Statement, destination: Destination, job: Job | None) -> Statement | None:
    """Change a statement before it leaves for one store: add a context, keep it from that store, anonymise.

    Each plugin in turn gets what the one before answered, in the order of their names; `@hookimpl(trylast=True)`, which
    the anonymiser has, comes after all others. Must not change its argument. Fails closed: an exception keeps the
    statement here, among the dead letters.

    :param job: the job that it is about; None for what a player or a portal sent.
    :return: the statement to send, `DROP` to send none, or None to leave it as it is.
    """


@hookspec
def statement_destinations() -> Sequence[Destination] | None:
    """Name the learning record stores that you deliver to."""


@hookspec(firstresult=True)
def emit_statement(statements: Sequence[Statement], destination: Destination) -> Sequence[Receipt] | None:
    """Deliver statements to one store, in their order.

    Called by several threads, never by two for the statements of one actor. After a `retry` or `blocked` the rest must
    not be tried either.

    :return: one receipt a statement, or None when this destination isn't yours.
    """


# The host


@hookspec
def examine_host() -> Sequence[Finding] | None:
    """Look at what your plugin needs of this host and of others, for `amphipod doctor`, which a person waits for.

    An exception is a finding that is not well.
    """


# Portals


@hookspec
def register_callbacks() -> Mapping[str, Callable[[Case], Verdict]] | None:
    """Bring ways of telling a portal that a job is over, by the kind that a job's `Callback` names.

    Each is called with a `Case` (settings, manifest, state, reason, run; `case.post(url, body, headers)` sends) and
    answers with a `Verdict`: "taken", "again", "mend", "refused" or "withheld", and words for whoever looks. What it
    raises counts as "mend". Tried again for days, never twice at once; after a crash maybe once more, and
    `case.delivery.uncertain` says so. "webhook" and Esup-Pod's are core's own.
    """


# Observers: an exception is logged and never fails the job


@hookspec
def job_started(job: Job) -> None:
    """Learn that the first step of a job begins."""


@hookspec
def job_published(job: Job, manifest: Manifest) -> None:
    """Learn that a job's files are where they were asked for."""


@hookspec
def job_failed(job: Job, result: StepResult) -> None:
    """Learn that a job has failed for good; `result.reason` says why."""


# Commands, pages and settings


@hookspec
def register_commands(cli: typer.Typer) -> None:
    """Add commands of your own to `amphipod`."""


@hookspec
def register_routes(app: APIRouter) -> None:
    """Add addresses of your own to `amphipod serve`, behind its limits and its tokens.

    Whoever asks needs a token that may read; `Depends(core.web.auth.require("manage"))` asks for more. An address that
    is ours already stays ours.
    """


@hookspec
def register_settings() -> type[BaseModel] | None:
    """Declare your own settings: a pydantic model, whose fields have defaults and descriptions.

    Read from `[plugin.NAME]` of amphipod.toml and, first of all, from `AMPHIPOD_<NAME>_<FIELD>`; a mistake leaves the
    plugin out, with words. `settings.of_plugin(NAME, Model)` gives them in `configure`; `amphipod doctor` lists them.
    """
