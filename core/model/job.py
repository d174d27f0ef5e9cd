"""What a portal asks for."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from core.model.base import SCHEMA, FilePath, Model, check_correlation_id, check_id, now
from core.model.built_in_steps import BUILT_IN
from core.model.step_spec import Step, StepSpec

#: High is served first, low is never starved.
Priority = Literal["high", "normal", "low"]


class State(enum.StrEnum):
    """Of a job or of one of its steps."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"

    @property
    def is_final(self) -> bool:
        return self not in (State.WAITING, State.RUNNING)


class Source(Model):
    """One media file to work on."""

    path: FilePath
    #: What it shows; a studio job has a presenter and a presentation.
    role: Literal["lecture", "presenter", "presentation"] = "lecture"


class Download(Model):
    """A file that a host fetches before it works on a job."""

    #: In the job's folder.
    path: FilePath
    url: str
    #: Somebody has named it by HTTP: it must be at a public address, or on a host of the settings.
    guarded: bool = False


class Callback(Model):
    """Whom to tell of a job's end. It holds no secret: those are settings of the host that delivers it."""

    #: The contract that it is told by: "webhook", or one of Esup-Pod's (core/pod/callbacks.py).
    kind: str
    #: Esup-Pod's are relative to its API's address, so that a wrong one can still be mended.
    url: str
    #: Somebody has named it by HTTP: it must be at a public address, or on a host of the settings.
    guarded: bool = False
    #: What the receiver wants to hear again.
    body: Mapping[str, Any] = Field(default_factory=dict)


class Job(Model):
    """What a portal asked for: `request.json`, immutable once stored."""

    schema_number: int = Field(default=SCHEMA, alias="schema")
    id: Annotated[str, AfterValidator(check_id)]
    created_at: datetime = Field(default_factory=now)
    sources: tuple[Source, ...] = Field(min_length=1)
    #: In the order in which they are done.
    steps: tuple[Step, ...] = Field(min_length=1)
    #: What plugins declare of those steps that are theirs: hosts without these plugins know queue and order from it.
    declared: tuple[StepSpec, ...] | None = None
    #: Folder to publish into; None publishes in the job's own folder.
    output: FilePath | None = None
    #: Whether files in that folder that are not this job's may be replaced, and what the same steps of another source
    #: have published there removed. What the job itself reads never is.
    replace: bool = False
    #: Files elsewhere that whoever is told of the job's end puts in place; what lies there must be of the same source.
    placed: tuple[FilePath, ...] = ()
    #: BCP 47 tag of what is spoken, or "auto".
    language: str = "auto"
    #: Options as the caller wrote them, `{"profile": "lecture"}`; each step takes those its engine knows.
    options: Mapping[str, Any] = Field(default_factory=dict)
    #: Which of its queues a step's message waits on.
    priority: Priority = "normal"
    #: Plugin asked for by name, by step.
    engines: Mapping[Step, str] = Field(default_factory=dict)
    #: The portal's own words (its video's id, a title); carried along, never read by core.
    attributes: Mapping[str, Any] = Field(default_factory=dict)
    #: What is fetched first, where a portal shares no folder.
    downloads: tuple[Download, ...] = ()
    #: Who is told when the job is over; its steps never see them.
    callbacks: tuple[Callback, ...] = ()
    #: Somebody has asked for it by HTTP: files that its options name must lie below the media roots.
    guarded: Literal[True] | None = None
    #: The submitter's own name for what this job belongs to: in every line of the log, and in the callbacks' header.
    correlation_id: Annotated[str, AfterValidator(check_correlation_id)] | None = None

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @model_validator(mode="after")
    def _knows_its_steps(self) -> Job:
        for step in self.steps:
            self.spec(step)
        return self

    def spec(self, step: str) -> StepSpec:
        """Return how one of this job's steps is declared.

        Raises:
            ValueError: it isn't.
        """
        for spec in (*(self.declared or ()), *BUILT_IN):
            if spec.name == step:
                return spec
        raise ValueError(f"no step {step} is declared")

    @property
    def source(self) -> Source:
        return self.sources[0]

    @property
    def correlation(self) -> str:
        """The submitter's correlation id; without one the job's own."""
        return self.correlation_id or self.id
