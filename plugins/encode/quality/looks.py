"""Pictures of the source at a rendition's size, and what an encode shows at the same times."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from plugins.encode.quality.metrics import Comparison, Score
from plugins.encode.quality.samples import LENGTH
from plugins.encode.video.pictures import Twins

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

#: One frame of so many is looked at: neighbours are much alike, and XPSNR costs as much as encoding does.
_LOOK_AT = 3

#: Times that differ by less are one: clocks are rounded.
INSTANT = Fraction(1, 1000)


def is_within(begin: Fraction, at: Fraction) -> bool:
    """Tell whether a time of the film is within a sample's stretch."""
    return begin <= at + INSTANT < begin + LENGTH


class References:
    """Some of a sample's pictures as the source has them."""

    def __init__(self, begin: Fraction, rate: Fraction) -> None:
        self._begin, self._before = begin, begin - _LOOK_AT / rate
        self._pictures: list[tuple[Fraction, VideoFrame]] = []
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._pictures)

    def want(self, at: Fraction) -> bool:
        """Tell whether the picture of this time is to be looked at."""
        if not self._before <= at + INSTANT < self._begin + LENGTH:
            return False
        self._count += 1
        return self._count % _LOOK_AT == 1

    def add(self, at: Fraction, picture: VideoFrame) -> None:
        self._pictures.append((at, picture))

    def score(self, shown: Shown) -> Score:
        comparison, twins = Comparison(), Twins()
        for at, picture in self._pictures:
            # XPSNR looks at the frame before as well.
            comparison.add(twins.copy(picture), shown.at(at), counts=is_within(self._begin, at))
        return comparison.score


class Shown:
    """What an encode shows, asked for from time to time."""

    def __init__(self, pictures: Iterator[tuple[Fraction, VideoFrame]]) -> None:
        self._pictures = pictures
        self._now = next(pictures)
        self._next = next(pictures, None)

    def at(self, time: Fraction) -> VideoFrame:
        while self._next and self._next[0] <= time + INSTANT:
            self._now, self._next = self._next, next(self._pictures, None)
        return self._now[1]
