"""What a job, a setting or a plugin may ask of the encoder."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from plugins.encode.dressing import Dressing
from plugins.encode.profiles import PROFILES, Ladder, Preset, Profile, Quality


def _from_text(value: object) -> object:
    """Read JSON where the command line could only give text: `--option 'renditions=[{"height": 480, ...}]'`."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{", "-")):
        return json.loads(value)
    return value


def _number(value: object) -> object:
    """Read a number where the command line could only give text."""
    return value if not isinstance(value, str) or value in {"off", "pod"} else float(value)


def _known_profile(value: object) -> object:
    value = _from_text(value)
    if not isinstance(value, str):
        return value
    if value not in PROFILES:
        raise ValueError(f"no profile is called {value!r}; there are {', '.join(PROFILES)}, or give one as an object")
    return PROFILES[value]


class EncodeOptions(BaseModel):
    """The encoder's options and their defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: "pod", "lecture", or a whole `Profile`.
    profile: Annotated[Profile, BeforeValidator(_known_profile), Field(examples=[*PROFILES])] = PROFILES["pod"]
    #: Replaces the profile's ladder.
    renditions: Annotated[Ladder | None, BeforeValidator(_from_text)] = None
    #: Replaces the profile's x264 preset.
    preset: Preset | None = None
    #: Replaces the profile's aim.
    quality: Annotated[Quality | None, BeforeValidator(_number)] = None
    #: Replaces the CRF of every rendition, and the aim.
    crf: float | None = Field(default=None, ge=0, le=51)
    #: Seconds of the lecture between which it is kept; 0 for `cut_end` means its end. Credits are not cut.
    cut_start: float = Field(default=0, ge=0)
    cut_end: float = Field(default=0, ge=0)
    #: A watermark, opening and ending credits.
    dressing: Annotated[Dressing, BeforeValidator(_from_text)] = Dressing()
    #: LUFS (EBU R 128) to which all sound is brought; the sound is decoded once more for it.
    loudness: Annotated[Literal["off", -16, -23], BeforeValidator(_from_text)] = "off"
    #: How many pictures of the film are offered as its poster. Pod shows the second.
    thumbnails: int = Field(default=3, ge=2, le=20)
    #: A longer film is divided into parts of at most this many seconds, which several workers encode.
    part_seconds: float = Field(default=240, ge=1)

    @model_validator(mode="after")
    def _check(self) -> EncodeOptions:
        if self.cut_end and self.cut_end <= self.cut_start:
            raise ValueError(f"the cut ends ({self.cut_end:g}) before it begins ({self.cut_start:g})")
        return self

    @property
    def ladder(self) -> Profile:
        """The profile with this job's replacements."""
        renditions = self.renditions or self.profile.renditions
        if self.crf is not None:
            renditions = tuple(rung.model_copy(update={"crf": self.crf}) for rung in renditions)
        preset = self.preset or self.profile.preset
        quality = self.quality or ("off" if self.crf is not None else self.profile.quality)
        return self.profile.model_copy(update={"renditions": renditions, "preset": preset, "quality": quality})
