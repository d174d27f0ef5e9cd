"""The ladders that a lecture is encoded to, as data: a plugin replaces them through `step_options`.

Rates are bits per second. Heights count lines of the picture as it is shown, so a portrait film of 1080x1920 has
1920 lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

#: What renditions' CRFs are chosen for.
Quality = Literal["off", "pod"] | Annotated[float, Field(ge=20, le=60)]

#: What of a still picture is left out.
Unchanged = Literal["off", "identical", "near"]

Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"
]


def _bits(value: object) -> object:
    """Read `"3000k"` and `"4.5M"` as ffmpeg does."""
    if not isinstance(value, str) or not value or value[-1] not in "kKM":
        return value
    factor = 1_000_000 if value[-1] == "M" else 1_000
    try:
        return round(float(value[:-1]) * factor)
    except ValueError:
        return value


BitRate = Annotated[int, BeforeValidator(_bits), Field(ge=8_000, le=500_000_000)]


class Opus(NamedTuple):
    """Opus of a bit rate; where a bare number stands, AAC is meant."""

    rate: int


Voice = int | Opus


class RenditionSpec(BaseModel):
    """One rung of the ladder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Lines; even, because chroma is subsampled.
    height: int = Field(ge=120, le=4320, multiple_of=2)
    #: "av1" goes with Opus, beside H.264 with AAC and never instead of it.
    codec: Literal["h264", "av1"] = "h264"
    #: The encoder's constant rate factor: lower is better and larger. To 51 for x264; SVT-AV1's 35 is near x264's 23.
    crf: float = Field(default=20, ge=0, le=63)
    #: x264's, instead of the profile's.
    preset: Preset | None = None
    #: Cap of the video, over a buffer of one second (VBV).
    max_rate: BitRate
    audio_rate: BitRate = 128_000
    #: Also as a file to download; HLS is always made.
    mp4: bool = True
    #: Reference frames of H.264; None leaves it to the preset.
    refs: int | None = Field(default=None, ge=1, le=16)

    @property
    def voice(self) -> Voice:
        """The sound that goes with it."""
        return Opus(self.audio_rate) if self.codec == "av1" else self.audio_rate


def _distinct(rungs: tuple[RenditionSpec, ...]) -> tuple[RenditionSpec, ...]:
    heights = [f"{rung.height}" if rung.codec == "h264" else f"{rung.height} {rung.codec}" for rung in rungs]
    if len(set(heights)) != len(heights):
        raise ValueError(f"two renditions have the same height ({', '.join(heights)})")
    if all(rung.codec == "av1" for rung in rungs):
        raise ValueError("a ladder of AV1 alone would not play everywhere: add a rendition of H.264")
    return rungs


#: Renditions of one ladder at most: each is an encoder with its memory and its threads.
_MOST_RUNGS = 16

Ladder = Annotated[tuple[RenditionSpec, ...], Field(min_length=1, max_length=_MOST_RUNGS), AfterValidator(_distinct)]


class Storyboard(BaseModel):
    """The small pictures that a player shows while one seeks, on one sheet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Lines of a picture.
    height: int = Field(default=90, ge=16, le=720)
    #: How many there are over the film; None is Pod's rule: 100, or 10 for a film of less than 100 seconds.
    tiles: int | None = Field(default=None, ge=1, le=1000)
    #: How many stand side by side; None puts all in one row, as Pod does.
    columns: int | None = Field(default=None, ge=1, le=1000)


class Profile(BaseModel):
    """A ladder and how it is encoded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "custom"
    renditions: Ladder
    preset: Preset = "slow"
    #: SVT-AV1's, of its renditions: 0 is slowest. Its faster ones, 10 to 13, give broken streams with our keyframes.
    av1_preset: int = Field(default=8, ge=0, le=9)
    #: A keyframe is the first frame at or after each multiple of this.
    keyframe_seconds: float = Field(default=1, gt=0, le=10)
    #: Length of an HLS segment; a segment begins with a keyframe.
    segment_seconds: float = Field(default=2, gt=0, le=10)
    #: "ts": transport streams with picture and sound, which play everywhere. "cmaf": fragmented MP4, the sound in
    #: files of its own, for HLS and for a DASH manifest (`manifest.mpd`).
    segments: Literal["ts", "cmaf"] = "ts"
    #: Give the lowest rung its full height when the source is smaller; nothing else is ever enlarged.
    upscale_lowest: bool = False
    storyboard: Storyboard = Storyboard()
    #: Of thumbnails and storyboard; Esup-Pod knows PNG.
    images: Literal["png", "webp"] = "png"
    #: Scale each rung from the one above instead of from the source: cheaper, and softer: on sharp
    #: strokes by 3 dB at 360 lines (XPSNR).
    cascade: bool = False
    #: How good the renditions are: "off" is by their CRFs. "pod" is by the CRFs with which they are as good as profile
    #: `pod` on samples of this film; a number is the XPSNR that they reach there, in decibels.
    quality: Quality = "off"
    #: Where the preset isn't good or small enough for the aim, slower ones up to medium are taken, as long as the
    #: encoding work of all renditions stays under this share of profile `pod`'s; 0 keeps the preset.
    budget: float = Field(default=0.35, ge=0, le=1)
    #: Frames that are not encoded, because the one before is shown for longer instead: none, those "identical" to it in
    #: every sample, or those "near" it, which differ nowhere by more than 2 of 255.
    unchanged: Unchanged = "off"

    @model_validator(mode="after")
    def _check(self) -> Profile:
        if self.segment_seconds % self.keyframe_seconds:
            raise ValueError("segment_seconds must be a multiple of keyframe_seconds")
        if self.segments == "ts" and any(rung.codec == "av1" for rung in self.renditions):
            raise ValueError('a transport stream holds no AV1: set segments to "cmaf"')
        return self


#: Esup-Pod 4.1's ladder (encoding_settings.py). Its level 3 made x264 hold `refs` to 2 at 720p and 1 at 1080p; they
#: stay there, so that cost and picture are Pod's, while the level written into the stream is the true one.
POD = Profile(
    name="pod",
    preset="slow",
    keyframe_seconds=1,
    upscale_lowest=True,
    renditions=(
        RenditionSpec(height=360, crf=20, max_rate=1_000_000, audio_rate=96_000, refs=5),
        RenditionSpec(height=720, crf=20, max_rate=3_000_000, audio_rate=128_000, refs=2),
        RenditionSpec(height=1080, crf=20, max_rate=4_500_000, audio_rate=192_000, refs=1, mp4=False),
    ),
)

#: The same rungs at a third of the cost: a fast preset pays for its worse prediction with a lower CRF, and a keyframe
#: each two seconds instead of one gives bytes back.
LECTURE = Profile(
    name="lecture",
    preset="veryfast",
    keyframe_seconds=2,
    unchanged="identical",
    renditions=(
        RenditionSpec(height=360, crf=14, max_rate=1_000_000, audio_rate=96_000),
        RenditionSpec(height=720, crf=16.5, max_rate=3_000_000, audio_rate=128_000),
        RenditionSpec(height=1080, crf=19, max_rate=4_500_000, audio_rate=192_000, mp4=False),
    ),
)

PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in (POD, LECTURE)}
