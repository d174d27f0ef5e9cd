"""Where a long film is divided, so that several workers can encode it and the joined film is the undivided one.

Times are those of the OUTPUT. A part begins with a frame that the undivided encode makes a keyframe too.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from core import Division, Part
from plugins.encode.film import film_of
from plugins.encode.probe import Media
from plugins.encode.source_file import open_source, packets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core import Context
    from plugins.encode.options import EncodeOptions

#: Of the work on a second of film, what its sound takes.
_SOUND_SHARE = 0.02

#: What an encoder is shown before its part, and throws away: by then it has the quantisers and the fill of the rate
#: buffer (one second, at most) that the part before ends with. At least so many seconds and so many frames.
_RUN_UP_SECONDS = 2
_RUN_UP_FRAMES = 4


@dataclass(frozen=True)
class Stretch:
    """The pictures of a part, by their time stamps in the source."""

    #: First frame that the encoder is shown.
    run_up: int
    #: First frame of the part.
    start: int
    #: First frame of the next part; None in the last one.
    end: int | None


@dataclass(frozen=True)
class Assignment:
    """What a part is told: the source as it was found, and a stretch of its pictures or, without one, its sound."""

    media: Media
    stretch: Stretch | None = None

    @classmethod
    def of(cls, part: Part) -> Assignment:
        return _ASSIGNMENT.validate_python(part.facts)

    def time(self, stamp: int) -> Fraction:
        """Return the second of the output at which the picture of a time stamp is shown."""
        assert self.media.video
        clock = self.media.video.time_base
        return (stamp - round(self.media.origin / clock)) * clock

    @property
    def facts(self) -> Mapping[str, Any]:
        facts: Mapping[str, Any] = _ASSIGNMENT.dump_python(self, mode="json")
        return facts


_ASSIGNMENT = TypeAdapter(Assignment)


def divide_lecture(path: Path, options: EncodeOptions, context: Context) -> Division:
    """Look for joints in a film of more than `part_seconds`; without any it is encoded whole."""
    film = film_of(path, options)
    media = film.media
    if not media.video or not film.can_be_divided or media.is_truncated or media.duration <= options.part_seconds:
        return Division()
    ticks = _ticks(media, context)
    interval = Fraction(options.ladder.keyframe_seconds).limit_denominator(1000)
    starts = _starts(media, ticks, interval, options.part_seconds)
    if len(starts) < 2:
        return Division()
    stretches = [_stretch(media, ticks, start, end) for start, end in pairwise([*starts, len(ticks)])]
    parts = [
        Part(name=f"p{number:03}", weight=weight, facts=Assignment(media, stretch).facts)
        for number, (stretch, weight) in enumerate(stretches)
    ]
    if media.audio or media.subtitles:  # the shortest part is served last
        parts.append(Part(name="sound", weight=media.duration * _SOUND_SHARE, facts=Assignment(media).facts))
    return Division(parts=tuple(parts))


def _ticks(media: Media, context: Context) -> list[int]:
    """Return the time stamps of all pictures, in their order; none if they can't be relied on."""
    assert media.video
    ticks = []
    with open_source(media.path) as container:
        for packet in packets(container, [container.streams[media.video.index]]):
            context.raise_if_cancelled()
            if not packet.size or packet.is_discard:
                continue
            if packet.pts is None:
                return []
            ticks.append(packet.pts)
    ticks.sort()
    return ticks if all(one < other for one, other in pairwise(ticks)) else []


def _starts(media: Media, ticks: Sequence[int], interval: Fraction, part_seconds: float) -> list[int]:
    """Return the indexes of the frames with which the parts begin."""
    assert media.video
    if not ticks:
        return []
    origin, clock = round(media.origin / media.video.time_base), media.video.time_base

    def interval_of(index: int) -> int:
        return math.floor((ticks[index] - origin) * clock / interval)

    length = (ticks[-1] - origin) * clock
    count = math.ceil(media.duration / part_seconds)
    starts = [0]
    for number in range(1, count):
        joint = round(length * number / count / interval) * interval
        index = bisect_left(ticks, origin + math.ceil(joint / clock))
        # Two keyframes on end need numbers that differ (H.264, 7.4.3, idr_pic_id), and two encoders give the same.
        follows_keyframe = index < len(ticks) and interval_of(index - 1) != interval_of(index - 2)
        if starts[-1] + _RUN_UP_FRAMES < index < len(ticks) and not follows_keyframe:
            starts.append(index)
    return starts


def _stretch(media: Media, ticks: Sequence[int], start: int, end: int) -> tuple[Stretch, float]:
    """Return a stretch and its length in seconds."""
    assert media.video
    clock = media.video.time_base
    early = bisect_left(ticks, ticks[start] - round(_RUN_UP_SECONDS / clock))
    run_up = max(min(early, start - _RUN_UP_FRAMES), 0)
    following = ticks[end] if end < len(ticks) else None
    last = following if following is not None else ticks[-1] + 1
    return Stretch(ticks[run_up], ticks[start], following), float((last - ticks[start]) * clock)
