"""Whether the words account for the speech: what was heard as speech and got none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from plugins.transcript.sound.windows import RATE

if TYPE_CHECKING:
    from core import Segment
    from plugins.transcript.sound.windows import Span

#: Seconds of the lecture, from and to.
Stretch = tuple[float, float]

#: Seconds without a word that are worth a note: a pause of 0.5 s is still speech to the detector, and word times are
#: half a second off now and then, so that less would be noted in speech that is written down whole; and a shorter loss
#: is a word, not a phrase.
SHORTEST = 1.5

#: Places that a note names, and seconds between two that it names as one; the facts have them all.
_NAMED, _TOGETHER = 8, 5.0


def seconds_within(spans: Iterable[Span], spoken: Sequence[Span]) -> float:
    """Return how many seconds of speech lie within the spans."""
    return sum(max(min(end, last) - max(start, first), 0) for start, end in spans for first, last in spoken) / RATE


def without_words(spoken: Sequence[Stretch], segments: Iterable[Segment]) -> list[Stretch]:
    """Return the stretches of speech, `SHORTEST` and longer, in which there is no word."""
    said = sorted((part.start, part.end) for segment in segments for part in segment.words or (segment,))
    return [(start, end) for start, end in less(spoken, said) if end - start >= SHORTEST]


def less(stretches: Sequence[Stretch], taken: Sequence[Stretch]) -> list[Stretch]:
    """Cut what is taken out of the stretches; both come in order."""
    left, first = [], 0
    for start, end in stretches:
        while first < len(taken) and taken[first][1] <= start:
            first += 1
        reached = start
        for begin, stop in taken[first:]:
            if begin >= end:
                break
            if begin > reached:
                left.append((reached, begin))
            reached = max(reached, stop)
        if reached < end:
            left.append((reached, end))
    return left


def common(some: Sequence[Stretch], others: Sequence[Stretch]) -> list[Stretch]:
    """Return what lies in both."""
    return less(some, less(some, others))


def places(stretches: Sequence[Stretch]) -> str:
    """Say where in the lecture: "0:01:02 to 0:01:08, ...", the longest if there are many."""
    stretches = _joined(stretches)
    named = sorted(sorted(stretches, key=lambda stretch: stretch[0] - stretch[1])[:_NAMED])
    more = f" and {len(stretches) - len(named)} more" if len(stretches) > len(named) else ""
    return ", ".join(f"{_clock(start)} to {_clock(end)}" for start, end in named) + more


def _joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    joined: list[Stretch] = []
    for start, end in stretches:
        if joined and start - joined[-1][1] < _TOGETHER:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def length(stretches: Iterable[Stretch]) -> float:
    """Return the seconds of all of them."""
    return round(sum(end - start for start, end in stretches), 1)
