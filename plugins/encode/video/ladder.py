"""Which renditions come out of a source, at which size and H.264 level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugins.encode.profiles import Profile, RenditionSpec
    from plugins.encode.source.video_track import VideoTrack

#: ITU-T H.264 table A-1: level, macroblocks a second, macroblocks a frame, macroblocks in the decoded picture
#: buffer, bit rate and buffer in units of 1250 bits (High profile, table A-2).
_LEVELS = (
    ("1.0", 1_485, 99, 396, 64, 175),
    ("1.1", 3_000, 396, 900, 192, 500),
    ("1.2", 6_000, 396, 2_376, 384, 1_000),
    ("1.3", 11_880, 396, 2_376, 768, 2_000),
    ("2.0", 11_880, 396, 2_376, 2_000, 2_000),
    ("2.1", 19_800, 792, 4_752, 4_000, 4_000),
    ("2.2", 20_250, 1_620, 8_100, 4_000, 4_000),
    ("3.0", 40_500, 1_620, 8_100, 10_000, 10_000),
    ("3.1", 108_000, 3_600, 18_000, 14_000, 14_000),
    ("3.2", 216_000, 5_120, 20_480, 20_000, 20_000),
    ("4.0", 245_760, 8_192, 32_768, 20_000, 25_000),
    ("4.1", 245_760, 8_192, 32_768, 50_000, 62_500),
    ("4.2", 522_240, 8_704, 34_816, 50_000, 62_500),
    ("5.0", 589_824, 22_080, 110_400, 135_000, 135_000),
    ("5.1", 983_040, 36_864, 184_320, 240_000, 240_000),
    ("5.2", 2_073_600, 36_864, 184_320, 240_000, 240_000),
    ("6.0", 4_177_920, 139_264, 696_320, 240_000, 240_000),
    ("6.1", 8_355_840, 139_264, 696_320, 480_000, 480_000),
    ("6.2", 16_711_680, 139_264, 696_320, 800_000, 800_000),
)

#: Reference frames of x264's presets (x264 --fullhelp).
_PRESET_REFS: Mapping[str, int] = {
    "ultrafast": 1,
    "superfast": 1,
    "veryfast": 1,
    "faster": 2,
    "fast": 2,
    "medium": 3,
    "slow": 5,
    "slower": 8,
    "veryslow": 16,
    "placebo": 16,
}

#: Frames that x264 keeps at least, because its B-frames form a pyramid (x264 encoder/set.c).
_PYRAMID_FRAMES = 4

#: Pixels that a picture may be wide (x264 encoder/encoder.c, MAX_RESOLUTION; SVT-AV1's limit is the same).
WIDEST = 16_384

#: Lines of the smallest picture with half as many of chroma.
_LOWEST = 2


@dataclass(frozen=True)
class Rendition:
    """One output picture size and how it is encoded."""

    name: str
    width: int
    height: int
    #: Frames a second as far as the source tells; a variable rate passes through all the same.
    rate: Fraction
    level: str
    spec: RenditionSpec
    #: Share of the rate buffer that is full in the beginning, instead of x264's nine tenths.
    fill: float | None = None

    def x264_options(self, profile: Profile) -> dict[str, str]:
        options = {
            "preset": self.spec.preset or profile.preset,
            "profile": "high",
            "level": self.level,
            "crf": f"{self.spec.crf:g}",
            "maxrate": str(self.spec.max_rate),
            "bufsize": str(self.spec.max_rate),
            "sc_threshold": "0",
        }
        if self.fill is not None:
            options["rc_init_occupancy"] = str(round(self.fill * self.spec.max_rate))
        return options | ({"refs": str(self.spec.refs)} if self.spec.refs else {})


def renditions_for(video: VideoTrack, profile: Profile) -> tuple[Rendition, ...]:
    """Return the rungs of the ladder that the source fills, lowest first; at least one."""
    renditions = [_rendition(rung, video, profile) for rung in _filled(video, profile)]
    # What is too wide is shrunk, several rungs to one size: the lowest stands for them.
    by_name = {rendition.name: rendition for rendition in reversed(renditions)}
    return tuple(reversed(by_name.values()))


def shrunk_notes(video: VideoTrack, profile: Profile) -> Iterator[str]:
    """Say of each rung that would be wider than an encoder takes what became of it."""
    for rung in _filled(video, profile):
        asked = _lines(rung, video, profile)
        if _width(asked, video) > WIDEST:
            made = _rendition(rung, video, profile)
            yield (
                f"{asked} lines of a film of {video.width}x{video.height} would be wider than the {WIDEST} pixels that "
                f"an encoder takes: it is encoded with {made.height}"
            )


def _filled(video: VideoTrack, profile: Profile) -> Sequence[RenditionSpec]:
    # H.264 first of each height: the first of all is what players begin with.
    rungs = sorted(profile.renditions, key=lambda rung: (rung.height, rung.codec == "av1"))
    return [rung for rung in rungs if rung.height <= video.height] or rungs[:1]


def _lines(rung: RenditionSpec, video: VideoTrack, profile: Profile) -> int:
    return rung.height if profile.upscale_lowest else min(rung.height, max(video.height // 2 * 2, 2))


def _width(height: int, video: VideoTrack) -> int:
    """As ffmpeg's scale=-2: the nearest even width, upwards from the middle."""
    return max((height * video.width + video.height) // (2 * video.height) * 2, 2)


def _rendition(rung: RenditionSpec, video: VideoTrack, profile: Profile) -> Rendition:
    height = _lines(rung, video, profile)
    while (width := _width(height, video)) > WIDEST and height > _LOWEST:
        height = max(height * WIDEST // width // 2 * 2, _LOWEST)
    width = min(width, WIDEST)
    refs = rung.refs or _PRESET_REFS[rung.preset or profile.preset]
    level = level_for(width, height, video.rate, refs, rung.max_rate)
    name = f"{height}p" if rung.codec == "h264" else f"{height}p_av1"
    return Rendition(name, width, height, video.rate, level, rung)


def level_for(width: int, height: int, rate: Fraction, refs: int, max_rate: int) -> str:
    """Return the lowest H.264 level whose limits (annex A.3) this stream keeps; 6.2 if it keeps none.

    :param max_rate: cap of the bit rate and size of its buffer, in bits.
    """
    columns, rows = -(-width // 16), -(-height // 16)
    frame = columns * rows
    for level, per_second, per_frame, buffered, bits, buffer in _LEVELS:
        if (
            frame <= per_frame
            and max(columns, rows) ** 2 <= 8 * per_frame
            and frame * rate <= per_second
            and frame * max(refs, _PYRAMID_FRAMES) <= buffered
            and max_rate <= 1250 * min(bits, buffer)
        ):
            return level
    return _LEVELS[-1][0]
