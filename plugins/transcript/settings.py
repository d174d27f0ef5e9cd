"""What `[plugin.transcript]` and `AMPHIPOD_TRANSCRIPT_*` say: where weights lie, and which serve which language."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from core import AlsoRead


class TranscriptSettings(BaseModel):
    """Settings of the host; what a job may choose is in options.py."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path | None = Field(
        default=None, description="folder of the official weights; else whisper's own, `~/.cache/whisper`"
    )
    models: Annotated[Mapping[str, Any], AlsoRead("TRANSCRIPTION_MODEL_PARAM")] = Field(
        default={}, description='the host\'s table of models by language, as JSON: `{"fr": {"model": "medium"}}`'
    )
