"""The whole job as its files tell it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from core.model.artifact import Artifact
from core.model.base import SCHEMA, FilePath, Model
from core.model.job import Job, State
from core.model.step import Engine


class ManifestStep(Model):
    """How one step stands."""

    state: State
    reason: str | None = None
    notes: tuple[str, ...] = ()
    engine: Engine | None = None
    facts: Mapping[str, Any] = Field(default_factory=dict)
    #: Folder of its artifacts, relative to the job's.
    folder: str | None = None
    artifacts: tuple[Artifact, ...] = ()
    #: When a person's corrections took the place of some of them.
    corrected_at: datetime | None = None


class Manifest(Model):
    """The whole job as its files tell it: what was asked, how each step stands, what was made."""

    schema_number: int = Field(default=SCHEMA, alias="schema")
    job: Job
    state: State
    run: int
    reason: str | None = None
    steps: Mapping[str, ManifestStep]
    #: Where the files were published; a job without `output` publishes in its own folder.
    published_in: FilePath | None = None

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        return tuple(artifact for step in self.steps.values() for artifact in step.artifacts)

    def find(self, kind: str) -> tuple[Artifact, ...]:
        """Return the artifacts of this kind, in the order in which they were made."""
        return tuple(artifact for artifact in self.artifacts if artifact.kind == kind)
