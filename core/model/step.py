"""A step: who does it with which options, in which parts, and what came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from core.model.artifact import Artifact
from core.model.base import SCHEMA, FilePath, Model
from core.model.job import State


class StepOutput(Model):
    """What an engine hands back: its files lie in `context.output`."""

    artifacts: tuple[Artifact, ...] = ()
    #: What the step learnt and a later step or a portal may want (duration, has_audio).
    facts: Mapping[str, Any] = Field(default_factory=dict)
    #: Sentences for a person: what was left out, and why.
    notes: tuple[str, ...] = ()


class Part(Model):
    """A piece of a step that can be done by itself, on another host; the engine says how in `facts`."""

    #: Letters and digits; unique in its division.
    name: str = Field(pattern=r"^[A-Za-z0-9]{1,32}$")
    #: Its share of the work, in seconds of media.
    weight: float = Field(gt=0)
    facts: Mapping[str, Any] = Field(default_factory=dict)


def _distinct(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Parts are filed by their names."""
    names = [part.name for part in parts]
    if len(set(names)) != len(names):
        raise ValueError(f"two parts have one name ({', '.join(names)})")
    return parts


class Division(Model):
    """How a step was divided, once, before its first part: `steps/division.<step>.json`. No parts: it is done whole."""

    parts: Annotated[tuple[Part, ...], AfterValidator(_distinct)] = ()


class PartOutput(StepOutput):
    """What became of a part; `folder` holds its files when they are joined."""

    part: Part
    folder: FilePath | None = None


class Work(Model):
    """What of a step is to be done."""

    verb: Literal["whole", "divide", "part", "join"] = "whole"
    #: For "part".
    part: Part | None = None
    #: For "join", in the order of the division.
    parts: tuple[PartOutput, ...] = ()


class Engine(Model):
    """Who does a step."""

    plugin: str
    distribution: str
    version: str


class Plan(Model):
    """`steps/plan.<step>.json`: who does a step and with which options, fixed before its first attempt.

    Fixed once, so that two hosts can't mix versions; a file a step, because no host need have every engine.
    """

    schema_number: int = Field(default=SCHEMA, alias="schema")
    #: In the order in which they are asked; the first that does not decline does the step.
    engines: tuple[Engine, ...]
    options: Mapping[str, Any]
    #: Which plugin, "settings" or "job" set each option; a default has no origin.
    origins: Mapping[str, str]
    #: Whether what is made has the source's own time and sound, so that what only listens may begin at once.
    keeps_time: bool = False

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @property
    def digest(self) -> str:
        """Equal for equal options, whatever their order."""
        canonical = json.dumps(self.options, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class StepResult(Model):
    """The commit of a step: `steps/<step>.<run>.json`."""

    schema_number: int = Field(default=SCHEMA, alias="schema")
    job: str
    step: str
    #: 1, and one more for each `amphipod retry`.
    run: int
    attempt: int
    state: Literal[State.SUCCEEDED, State.FAILED, State.CANCELLED, State.SUPERSEDED]
    #: Folder of the files, relative to the job's; None when there are none.
    folder: str | None = None
    artifacts: tuple[Artifact, ...] = ()
    facts: Mapping[str, Any] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    engine: Engine | None = None
    options: Mapping[str, Any] = Field(default_factory=dict)
    origins: Mapping[str, str] = Field(default_factory=dict)
    options_digest: str = ""
    #: With its remedy, if there is one, at its end.
    reason: str | None = None
    remedy: str | None = None
    #: When a person's corrections took the place of files of this result.
    corrected_at: datetime | None = None
    host: str
    started_at: datetime
    finished_at: datetime

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)
