"""A plugin and a portal as their authors would type them; `make check` reads this file, nobody runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, assert_type

from pydantic import BaseModel

from core import (
    DROP,
    Artifact,
    Context,
    Job,
    Manifest,
    PluginUnavailable,
    Source,
    State,
    Statement,
    StepOutput,
    Transcript,
    hookimpl,
)


class Options(BaseModel):
    """Of the engine below."""

    crf: int = 20


@hookimpl
def configure() -> None:
    raise PluginUnavailable("no GPU", remedy="pip install gpu-tools")


@hookimpl
def options_schema(step: str) -> type[BaseModel] | None:
    return Options if step == "encode" else None


@hookimpl
def step_options(job: Job, step: str) -> Mapping[str, Any] | None:
    return {"crf": 18} if step == "encode" and job.attributes.get("faculty") == "arts" else None


@hookimpl
def encode(source: Source, options: Mapping[str, Any], context: Context) -> StepOutput | None:
    assert_type(source.path, Path)
    assert_type(context.output, Path)
    context.raise_if_cancelled()
    context.progress(1.0, 2.0)
    context.log.info("encoding", crf=options["crf"])
    return StepOutput(artifacts=(Artifact(kind="rendition", path="360p.mp4", media_type="video/mp4"),))


@hookimpl
def transcribe(job: Job, audio: Path) -> Transcript | None:
    return Transcript(language=job.language, segments=()) if audio.suffix == ".mp3" else None


@hookimpl
def prepare_statement(statement: Statement) -> Statement | None:
    return DROP if "actor" not in statement else {**statement, "context": {}}


@hookimpl
def job_published(job: Job, manifest: Manifest) -> None:
    assert_type(manifest.state, State)
    assert_type(manifest.find("rendition"), tuple[Artifact, ...])
    assert_type(manifest.state.is_final, bool)


def sizes(artifacts: Sequence[Artifact]) -> int:
    return sum(artifact.size or 0 for artifact in artifacts)
