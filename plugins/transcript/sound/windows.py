"""Speech set end to end, heard in windows of whisper's length, and the way back from their clock to the lecture's."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: From sample to sample.
Span = tuple[int, int]

#: Samples a second that whisper and silero-vad listen to.
RATE = 16_000

#: Samples that whisper listens to at a time: 30 s.
LENGTH = 30 * RATE

#: Windows that a lane has at least, if there is more than one lane.
_WINDOWS_A_LANE = 2

#: Silence up to so many samples between two regions is kept: cutting it would save little and take a pause away that
#: the model hears as the end of a sentence.
_KEPT_SILENCE = RATE

#: Samples of a rest that may well end a sentence.
_PAUSE = RATE // 2


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

    def place_of(self, sample: int) -> int:
        """Return where a sample of the lecture lies in the window, or what is around it if it was left out."""
        return sum(min(max(sample - start, 0), end - start) for start, end in self.spans)

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


def share_out(regions: Sequence[Span], most: int) -> list[Window]:
    """Share regions of speech out to lanes of about the same length, in order, each to be heard window by window.

    At most `most` lanes, as they are heard at the same time, and fewer where they would be short: the last window of
    each is seldom full.
    """
    total = sum(end - start for start, end in regions)
    count = max(1, min(most, total // (_WINDOWS_A_LANE * LENGTH)))
    shared: list[list[Span]] = [[]]
    passed = 0
    for start, end in regions:
        if len(shared) < count and passed + (end - start) / 2 > total * len(shared) / count:
            shared.append([])
        passed += end - start
        last = shared[-1][-1] if shared[-1] else None
        if last and start - last[1] <= _KEPT_SILENCE:
            shared[-1][-1] = (last[0], end)
        else:
            shared[-1].append((start, end))
    return [Window(tuple(spans)) for spans in shared if spans]


def pieces(lanes: Iterable[Window]) -> list[Window]:
    """Cut lanes into what whisper takes at a time, wherever that ends."""
    return [lane.after(at).first(LENGTH) for lane in lanes for at in range(0, lane.samples, LENGTH)]


def next_window(lane: Window, rests: Sequence[Span]) -> Window:
    """Return what of a lane is heard next: as much as whisper takes, up to the voice's longest rest in its last sixth.

    In its last half, where those in its last sixth are short: a window that ends in a rest is written down whole; of
    one that ends in a word, the sentence is heard again, without its beginning.
    """
    whole = lane.first(LENGTH)
    if whole.samples == lane.samples:
        return whole
    begin, stop = whole.spans[0][0], whole.spans[-1][1]
    near = rests[bisect_left(rests, (begin,)) : bisect_right(rests, (stop,))]
    places = [(end - start, whole.place_of((start + end) // 2)) for start, end in near]
    longest, end = max((rest for rest in places if 5 * LENGTH // 6 <= rest[1] < LENGTH), default=(0, LENGTH))
    if longest < _PAUSE:
        _, end = max((rest for rest in places if LENGTH // 2 <= rest[1] < LENGTH), default=(0, end))
    return lane.first(end)
