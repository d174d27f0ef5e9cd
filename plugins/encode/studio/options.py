"""What a job, a setting or a plugin may ask of the studio."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from plugins.encode.profiles import Preset


class ComposeOptions(BaseModel):
    """What a job may ask of the studio."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: "mid": side by side, the presentation on the left; "piph" and "pipb": the presenter small over the presentation,
    #: in the upper or lower right corner; or one of the two alone.
    layout: Literal["mid", "piph", "pipb", "presenter", "presentation"] = "mid"
    #: Seconds of the takes' common clock between which they are kept; 0 for `clip_end` means their end.
    clip_start: float = Field(default=0, ge=0)
    clip_end: float = Field(default=0, ge=0)
    preset: Preset = "veryfast"
    crf: float = Field(default=18, ge=0, le=51)

    @model_validator(mode="after")
    def _check(self) -> ComposeOptions:
        if self.clip_end and self.clip_end <= self.clip_start:
            raise ValueError(f"the clip ends ({self.clip_end:g}) before it begins ({self.clip_start:g})")
        return self
