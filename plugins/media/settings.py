"""What `[plugin.media]` and `AMPHIPOD_MEDIA_*` say: which files of strangers are opened, and how large they may be."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from plugins.media.allowed import is_never


def _split(value: object) -> object:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def _harmless(names: tuple[str, ...]) -> tuple[str, ...]:
    if never := [name for name in names if is_never(name)]:
        raise ValueError(f"{', '.join(never)} would have an upload open other files, or make a film of any text")
    return names


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]


class MediaSettings(BaseModel):
    """What encoder and transcription take of strangers; the defaults leave room for whatever a lecture may be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    formats: Annotated[Names, AfterValidator(_harmless)] = Field(
        default=(),
        description="comma-separated containers to take besides those of [sources.md](sources.md), by libav's names",
    )
    codecs: Names = Field(default=(), description="comma-separated codecs to take besides those, by libav's names")
    file_limit: int = Field(default=1_000_000_000_000, ge=1, description="bytes of a file of pictures or sound")
    duration_limit: float = Field(default=48 * 3600, gt=0, description="seconds that it may last")
    silence_limit: float = Field(
        default=4 * 3600, gt=0, description="seconds of silence, in all, that its clock's holes are filled with"
    )
    track_limit: int = Field(default=256, ge=1, le=1000, description="tracks that it may have, of whatever kind")
    audio_track_limit: int = Field(default=32, ge=1, description="audio tracks that are encoded; others are left out")
    pixel_limit: int = Field(default=70_000_000, ge=1, description="pixels that a film's pictures may have")
    sample_rate_limit: int = Field(default=768_000, ge=8000, description="samples a second that its sound may have")
    channel_limit: int = Field(default=64, ge=1, description="channels that its sound may have")
    chapter_limit: int = Field(default=1000, ge=0, description="chapters that are kept; later ones are left out")
    title_limit: int = Field(default=1000, ge=1, description="characters that are kept of a track's or chapter's title")
    metadata_limit: int = Field(
        default=16_000_000, ge=1, description="characters that a file may say of itself and of its tracks"
    )
    picture_limit: int = Field(default=50_000_000, ge=1, description="bytes of a watermark or a cover")
    picture_pixel_limit: int = Field(default=50_000_000, ge=1, description="pixels of a watermark or a cover")


#: Those of a host that says nothing.
DEFAULTS = MediaSettings()
