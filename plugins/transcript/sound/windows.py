"""Speech packed into windows of whisper's length, and the way back from a window's clock to the lecture's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: From sample to sample.
Span = tuple[int, int]

#: Samples a second that whisper and silero-vad listen to.
RATE = 16_000

#: Samples that whisper listens to at a time: 30 s.
LENGTH = 30 * RATE

#: Silence up to so many samples between two regions is kept: cutting it would save little and take a pause away that
#: the model hears as the end of a sentence.
_KEPT_SILENCE = RATE


@dataclass(frozen=True)
class Window:
    """Some speech of a lecture, set end to end."""

    spans: tuple[Span, ...]

    @property
    def samples(self) -> int:
        return sum(end - start for start, end in self.spans)

    @property
    def seconds(self) -> float:
        return self.samples / RATE

    @property
    def middle(self) -> float:
        """Second of the lecture in the middle of the window."""
        return (self.spans[0][0] + self.spans[-1][1]) / 2 / RATE

    def after(self, samples: int) -> Window:
        """Return what follows the first so many samples."""
        spans, passed = [], 0
        for start, end in self.spans:
            begin = start + max(samples - passed, 0)
            passed += end - start
            if begin < end:
                spans.append((begin, end))
        return Window(tuple(spans))

    def first(self, samples: int) -> Window:
        """Return the first so many samples, or all if there are fewer."""
        spans, room = [], samples
        for start, end in self.spans:
            if room <= 0:
                break
            spans.append((start, min(end, start + room)))
            room -= end - start
        return Window(tuple(spans))

    def to_lecture(self, start: float, end: float) -> tuple[float, float]:
        """Turn seconds of the window into seconds of the lecture.

        What lies across a seam belongs to the side where most of it is: a word isn't spoken across a silence.
        """
        bounds = self._bounds()
        overlaps = [min(end, last) - max(start, first) for first, last in bounds]
        at = max(range(len(bounds)), key=lambda index: overlaps[index])
        (first, last), shift = bounds[at], self.spans[at][0] / RATE
        return tuple(shift + min(max(moment, first), last) - first for moment in (start, end))  # type: ignore[return-value]

    def _bounds(self) -> list[tuple[float, float]]:
        bounds, reached = [], 0
        for start, end in self.spans:
            bounds.append((reached / RATE, (reached + end - start) / RATE))
            reached += end - start
        return bounds


def pack(regions: Iterable[Span]) -> list[Window]:
    """Fill windows with regions of speech, in order, none longer than `LENGTH`."""
    windows: list[list[Span]] = []
    room = 0
    for start, end in (part for region in regions for part in _parts(region)):
        last = windows[-1][-1] if windows else None
        if last and start - last[1] <= _KEPT_SILENCE and end - last[1] <= room:
            windows[-1][-1] = (last[0], end)
            room -= end - last[1]
        elif windows and end - start <= room:
            windows[-1].append((start, end))
            room -= end - start
        else:
            windows.append([(start, end)])
            room = LENGTH - (end - start)
    return [Window(tuple(spans)) for spans in windows]


def _parts(region: Span) -> Sequence[Span]:
    """Cut what no window can hold."""
    start, end = region
    return [(at, min(at + LENGTH, end)) for at in range(start, end, LENGTH)]
