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
from plugins.encode.audio.loudness import levelled
from plugins.encode.film import Film, film_of
from plugins.encode.quality.aim import Aim, aim_at  # at run time: it travels as JSON
from plugins.encode.video.pictures import INSTANT
from plugins.media.opener import open_source
from plugins.media.settings import DEFAULTS, MediaSettings
from plugins.media.source_file import packets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core import Context
    from plugins.encode.options import EncodeOptions
    from plugins.encode.source.probe import Media

#: Of the work on a second of film, what its sound takes.
_SOUND_SHARE = 0.02

#: What an encoder is shown before its part, and throws away: by then it has the quantisers and the fill of the rate
#: buffer (one second, at most) that the part before ends with. At least so many seconds and so many frames.
_RUN_UP_SECONDS = 2
_RUN_UP_FRAMES = 4

#: Seconds that it is shown behind its part: x264 looks so far ahead to keep something in the buffer for what comes, and
#: would spend it all before an end.
_RUN_OUT_SECONDS = 1

#: Parts may be 10 % longer than asked for where that saves one.
_LONGER = 0.1


@dataclass(frozen=True)
class Stretch:
    """The pictures of a part, by their time stamps in the source."""

    #: First frame that the encoder is shown.
    run_up: int
    #: First frame of the part; None in the first one.
    start: int | None
    #: First frame of the next part; None in the last one.
    end: int | None
    #: First frame that the encoder is not shown; None where it is shown the rest.
    run_out: int | None


@dataclass(frozen=True)
class Assignment:
    """What a part is told: the film as it was found, and a stretch of its pictures or, without one, its sound."""

    film: Film
    stretch: Stretch | None = None
    #: The CRFs of all parts.
    aims: tuple[Aim, ...] = ()

    @classmethod
    def of(cls, part: Part) -> Assignment:
        return _ASSIGNMENT.validate_python(part.facts)

    @property
    def facts(self) -> Mapping[str, Any]:
        facts: Mapping[str, Any] = _ASSIGNMENT.dump_python(self, mode="json")
        return facts

    def time(self, stamp: int) -> Fraction:
        """Return the second of the film at which the picture of a time stamp is shown."""
        return _Clock(self.film).time(stamp)


_ASSIGNMENT = TypeAdapter(Assignment)


class _Clock:
    """From time stamps of the source to seconds of the film, as `Timeline.stamp` counts them."""

    def __init__(self, film: Film) -> None:
        assert film.media.video
        self.unit = film.media.video.time_base
        self._shift = round(film.lecture.shift / self.unit)

    def time(self, stamp: int) -> Fraction:
        return (stamp - self._shift) * self.unit

    def stamp(self, time: Fraction) -> int:
        """Return the first time stamp that is not before a time."""
        return math.ceil(time / self.unit) + self._shift


def divide_lecture(
    path: Path, options: EncodeOptions, context: Context, settings: MediaSettings = DEFAULTS
) -> Division:
    """Look for joints in a film of more than `part_seconds`; without any it is encoded whole."""
    film = film_of(path, options, settings)
    count = math.ceil(film.duration / options.part_seconds - _LONGER)
    is_plain = film.can_be_divided and options.ladder.segments == "ts" and not film.media.is_truncated
    if not is_plain or count < 2:
        return Division()
    if options.loudness != "off":
        film = levelled(film, options.loudness, context)
    stamps = _stamps(film.media, context)
    clock = _Clock(film)
    first, end = _shown(film, clock, stamps)
    interval = Fraction(options.ladder.keyframe_seconds).limit_denominator(1000)
    joints = _joints(clock, stamps[first:end], interval, count)
    if not joints:
        return Division()
    aims = aim_at(film, options.ladder, context)
    edges = [first, *(first + joint for joint in joints), end]
    parts = []
    for number, (start, following) in enumerate(pairwise(edges)):
        stretch = _stretch(clock, stamps, start, following, is_first=not number, is_last=number == len(joints))
        seconds = float((stamps[following - 1] - stamps[start]) * clock.unit)
        parts.append(Part(name=f"p{number:03}", weight=seconds, facts=Assignment(film, stretch, aims).facts))
    if film.has_sound or film.media.subtitles:  # the shortest part is served last
        parts.append(Part(name="sound", weight=film.duration * _SOUND_SHARE, facts=Assignment(film, aims=aims).facts))
    return Division(parts=tuple(parts))


def _stamps(media: Media, context: Context) -> list[int]:
    """Return the time stamps of all pictures, in their order; none if they can't be relied on."""
    assert media.video
    stamps: list[int] = []
    faults: list[None] = []
    with open_source(media.path, media.settings) as container:
        stream = container.streams[media.video.index]
        for packet in packets(container, [stream], lambda: faults.append(None)):
            context.raise_if_cancelled()
            if faults:
                return []
            if not packet.size or packet.is_discard:
                continue
            if packet.pts is None:
                return []
            stamps.append(packet.pts)
    stamps.sort()
    return stamps if all(one < other for one, other in pairwise(stamps)) else []


def _shown(film: Film, clock: _Clock, stamps: Sequence[int]) -> tuple[int, int]:
    """Return the indexes of the first frame that a cut leaves and of the first one behind it."""
    until = film.lecture.until
    first = bisect_left(stamps, clock.stamp(-INSTANT)) if film.lecture.start else 0
    return first, len(stamps) if until is None else bisect_left(stamps, clock.stamp(until - INSTANT))


def _joints(clock: _Clock, stamps: Sequence[int], interval: Fraction, count: int) -> list[int]:
    """Return the indexes of the frames with which all parts but the first begin."""
    if not stamps:
        return []

    def interval_of(index: int) -> int:
        return math.floor(clock.time(stamps[index]) / interval)

    joints: list[int] = []
    for number in range(1, count):
        time = round(clock.time(stamps[-1]) * number / count / interval) * interval
        index = bisect_left(stamps, clock.stamp(time))
        if not (joints[-1] if joints else 0) + _RUN_UP_FRAMES < index < len(stamps):
            continue
        # Consecutive IDR pictures must differ in idr_pic_id (H.264, 7.4.3), and two encoders begin with the same.
        if interval_of(index - 1) == interval_of(index - 2):
            joints.append(index)
    return joints


def _stretch(clock: _Clock, stamps: Sequence[int], start: int, end: int, *, is_first: bool, is_last: bool) -> Stretch:
    if is_first:
        run_up = max(start - 1, 0)  # after a cut, what was shown when the film begins
    else:
        run_up = bisect_left(stamps, stamps[start] - round(_RUN_UP_SECONDS / clock.unit))
        run_up = max(min(run_up, start - _RUN_UP_FRAMES), 0)
    # Whether a cut falls before or behind a frame is not decided here.
    run_out = end + 1 if is_last else bisect_left(stamps, stamps[end] + round(_RUN_OUT_SECONDS / clock.unit))
    return Stretch(
        run_up=stamps[run_up],
        start=None if is_first else stamps[start],
        end=None if is_last else stamps[end],
        run_out=stamps[run_out] if run_out < len(stamps) else None,
    )
