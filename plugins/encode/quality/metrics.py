"""How near pictures come to those that they were encoded from: two measures of different kinds, in decibels of luma.

SSIM compares structures, XPSNR errors as they are seen, weighted by how busy a place is (Helmrich et al., ICASSP 2020).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from av.filter import Graph

if TYPE_CHECKING:
    from av.filter.context import FilterContext
    from av.video.frame import VideoFrame

#: Decibels at which nothing is left to be seen, of two pictures that are equal; their SSIM would be infinite.
_BEST = 100.0


@dataclass(frozen=True)
class Score:
    """Decibels."""

    ssim: float
    xpsnr: float

    def as_good_as(self, other: Score, tolerance: float = 0.0) -> bool:
        return self.ssim >= other.ssim - tolerance and self.xpsnr >= other.xpsnr - tolerance


class Comparison:
    """Compares two films of one size frame by frame."""

    def __init__(self) -> None:
        self._inputs: list[FilterContext] = []
        self._graph = Graph()
        self._frames = 0
        self._scores: list[Score] = []

    def add(self, reference: VideoFrame, made: VideoFrame, *, counts: bool = True) -> None:
        """Compare the next frame of each; they lose their time stamps."""
        if not self._inputs:
            self._set_up(reference)
        for entry, picture in zip(self._inputs, (made, reference), strict=True):
            picture.pts, picture.time_base = self._frames, Fraction(1, 25)
            entry.push(picture)
        self._frames += 1
        values = self._graph.vpull().metadata
        if not counts:
            return
        ssim = _decibels(1 - float(values["lavfi.ssim.Y"]))
        self._scores.append(Score(ssim, min(float(values["lavfi.xpsnr.xpsnr.y"]), _BEST)))

    @property
    def score(self) -> Score:
        return pooled(self._scores)

    def _set_up(self, frame: VideoFrame) -> None:
        made, reference = (
            self._graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
            )
            for _ in range(2)
        )
        split, ssim, xpsnr = self._graph.add("split"), self._graph.add("ssim"), self._graph.add("xpsnr")
        made.link_to(ssim, 0, 0)
        reference.link_to(split)
        split.link_to(ssim, 0, 1)
        ssim.link_to(xpsnr, 0, 0)
        split.link_to(xpsnr, 1, 1)
        xpsnr.link_to(self._graph.add("buffersink"))
        self._graph.configure()
        self._inputs = [made, reference]


def pooled(scores: Iterable[Score], weights: Sequence[float] | None = None) -> Score:
    """Return what the filters call the mean of several frames: of the SSIM, and of the errors' amplitude."""
    known = list(scores)
    shares = weights or [1.0] * len(known)
    total = sum(shares)
    errors = sum(share * 10 ** (-one.ssim / 10) for share, one in zip(shares, known, strict=True)) / total
    amplitude = sum(share * 10 ** (-one.xpsnr / 20) for share, one in zip(shares, known, strict=True)) / total
    return Score(_decibels(errors), 2 * _decibels(amplitude))


def _decibels(share: float) -> float:
    return min(-10 * math.log10(share), _BEST) if share > 0 else _BEST
