"""Captions from words: which words share a caption, where its lines break, how long it stays.

Where a caption ends is a choice with a price: the end of a sentence costs nothing, the middle of a clause much. The
cheapest way to cut the whole lecture is found by dynamic programming: no caption is good at the next one's cost.
Whatever the words and their times: lines hold `line_length`, a caption has at most `lines`, captions stay between
`min_duration` and `max_duration`, come in order and leave `gap` between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise

from core import Segment
from plugins.transcript.captions.reading import scaled
from plugins.transcript.captions.tokens import Piece, line_of, tokenize, words_of
from plugins.transcript.captions.typography import is_spaceless, width
from plugins.transcript.options import CaptionOptions

#: Seconds of silence between two words that separate them on the screen too.
_PAUSE = 1.0

# Prices, in units of one caption more.
_CAPTION = 1.0
_CLAUSE = 3.0
_BEFORE_CONJUNCTION = 6.0
_BARE_CUT = 10.0
_SENTENCE_INSIDE = 6.0
_PAUSE_INSIDE = 9.0
_TOO_SHORT = 25.0
_TOO_FAST = 15.0
_WIDOW = 200.0

_CONJUNCTIONS = frozenset(
    [
        *("and", "but", "or", "so", "because", "that", "which", "who", "when", "where", "if", "while"),
        *("et", "mais", "ou", "donc", "car", "que", "qui", "dont", "où", "quand", "si", "parce", "puis", "lorsque"),
    ]
)


@dataclass(frozen=True)
class Cue:
    """One caption; times in milliseconds, because files have no finer ones."""

    start: int
    end: int
    lines: tuple[str, ...]
    language: str = ""


@dataclass(frozen=True)
class _Caption:
    """What one cue shows, in one language, and the rules in columns of its script."""

    pieces: Sequence[Piece]
    language: str
    rules: CaptionOptions


def build_cues(
    segments: Sequence[Segment], language: str, rules: CaptionOptions, duration: float | None = None
) -> list[Cue]:
    """Turn what was heard into captions; from words, or from whole segments where an engine has no word times.

    A cue holds one language. Where the film's `duration` in seconds is known, none lasts beyond it.
    """
    captions: list[_Caption] = []
    for own, said in groupby(segments, key=lambda segment: segment.language or language):
        scale = scaled(rules, own)
        words = [word for segment in said for word in words_of(segment, own)]
        pieces = tokenize(words, own, scale.line_length)
        captions += [_Caption(pieces[i:j], own, scale) for i, j in _Cutter(pieces, own, scale).cut()]
    cues = list(_timed(captions))
    return _within(cues, duration, rules) if duration and cues and cues[-1].end > duration * 1000 else cues


class _Cutter:
    """Finds the cheapest way to cut tokens into captions."""

    def __init__(self, tokens: Sequence[Piece], language: str, rules: CaptionOptions) -> None:
        self._tokens = tokens
        self._rules = rules
        self._widows = not is_spaceless(language)
        self._columns = [0, *accumulate(len(token.space) + token.width for token in tokens)]
        self._inside = [0.0, 0.0, *accumulate(_inside(one, other) for one, other in pairwise(tokens))]

    def cut(self) -> list[tuple[int, int]]:
        """Return where each caption begins and ends."""
        count = len(self._tokens)
        best, came_from = [0.0] + [math.inf] * count, [0] * (count + 1)
        for end in range(1, count + 1):
            # No caption has more pieces than columns: that bounds what pieces without width or time would cost.
            for start in range(end - 1, max(end - 2 - 2 * self._rules.line_length, -1), -1):
                if start < end - 1 and not self._fits(start, end):
                    break
                price = best[start] + self._price(start, end)
                if price < best[end]:
                    best[end], came_from[end] = price, start
        cuts, end = [], count
        while end:
            cuts.append((came_from[end], end))
            end = came_from[end]
        return cuts[::-1]

    def width(self, start: int, end: int) -> int:
        return self._columns[end] - self._columns[start] - len(self._tokens[start].space)

    def _fits(self, start: int, end: int) -> bool:
        first, last = self._tokens[start], self._tokens[end - 1]
        if last.end - first.start > self._rules.max_duration:
            return False
        limit = self._rules.line_length
        if self.width(start, end) <= limit:
            return True
        if self._rules.lines == 1 or self.width(start, end) > 2 * limit + 1:
            return False
        return any(
            self.width(start, middle) <= limit and self.width(middle, end) <= limit for middle in range(start + 1, end)
        )

    def _price(self, start: int, end: int) -> float:
        rules, first, last = self._rules, self._tokens[start], self._tokens[end - 1]
        following = self._tokens[end] if end < len(self._tokens) else None
        price = _CAPTION + self._inside[end] - self._inside[start + 1] + _end_price(last, following)
        if following:
            there = min(max(following.start - rules.gap - first.start, 0.001), rules.max_duration)
            price += _TOO_SHORT * max(1 - there / rules.min_duration, 0.0)
            price += _TOO_FAST * min(max(self.width(start, end) / there / rules.reading_speed - 1, 0.0), 1.0)
        if end - start == 1:
            before = self._tokens[start - 1] if start else None
            whole = (before is None or before.ends_sentence) and (following is None or last.ends_sentence)
            price += 0.0 if whole else _WIDOW
        return price


def _inside(one: Piece, other: Piece) -> float:
    pause = other.start - one.end
    return _SENTENCE_INSIDE * one.ends_sentence + _PAUSE_INSIDE * min(max(pause / _PAUSE - 0.5, 0.0), 4.0)


def _end_price(last: Piece, following: Piece | None) -> float:
    if following is None or last.ends_sentence:
        return 0.0
    if following.start - last.end >= _PAUSE or last.ends_clause:
        return _CLAUSE
    return _BEFORE_CONJUNCTION if following.text.lower() in _CONJUNCTIONS else _BARE_CUT


def break_lines(tokens: Sequence[Piece], language: str, rules: CaptionOptions) -> tuple[str, ...]:
    """Set the words of one caption in lines: one if they fit, else two, broken where the sense allows it."""
    limit = rules.line_length
    if width(line_of(tokens)) <= limit or len(tokens) == 1:
        return (line_of(tokens),)

    def price(middle: int) -> float:
        above, below = width(line_of(tokens[:middle])), width(line_of(tokens[middle:]))
        uneven = abs(above - below) / limit
        overflow = max(above, below) > limit
        alone = not is_spaceless(language) and min(middle, len(tokens) - middle) == 1
        return 1000.0 * overflow + _WIDOW * alone + _end_price(tokens[middle - 1], tokens[middle]) + 5.0 * uneven

    middle = min(range(1, len(tokens)), key=price)
    return line_of(tokens[:middle]), line_of(tokens[middle:])


def _timed(captions: Sequence[_Caption]) -> Iterator[Cue]:
    """Give each caption its times: from its first word until it is read, as far as the next one lets it.

    A caption that would be too short pushes the next one back; a pause later, they are on time again.
    """
    free = 0
    for number, caption in enumerate(captions):
        rules, tokens = caption.rules, caption.pieces
        gap = math.ceil(rules.gap * 1000)
        shortest, longest = math.ceil(rules.min_duration * 1000), int(rules.max_duration * 1000)
        lines = break_lines(tokens, caption.language, rules)
        start = max(round(tokens[0].start * 1000), free)
        read = start + math.ceil(sum(map(width, lines)) / rules.reading_speed * 1000)
        following = captions[number + 1].pieces[0].start if number + 1 < len(captions) else math.inf
        latest = min(following * 1000 - gap, start + longest)
        end = int(max(min(max(round(tokens[-1].end * 1000), read), latest), start + shortest))
        yield Cue(start, end, lines, caption.language)
        free = end + gap


def _within(cues: Sequence[Cue], duration: float, rules: CaptionOptions) -> list[Cue]:
    """Move forward what would last beyond the film; where it is too short for all, share it out."""
    gap, shortest = math.ceil(rules.gap * 1000), math.ceil(rules.min_duration * 1000)
    latest = int(duration * 1000)
    kept: list[Cue] = []
    for cue in reversed(cues):
        end = min(cue.end, latest)
        kept.append(replace(cue, start=min(cue.start, end - shortest), end=end))
        latest = kept[-1].start - gap
    if kept[-1].start >= 0:
        return kept[::-1]
    share = duration * 1000 / len(cues)
    if share < 1:  # milliseconds: no film is that short
        return list(cues)
    return [
        replace(cue, start=int(at * share), end=max(int((at + 1) * share) - gap, int(at * share) + 1))
        for at, cue in enumerate(cues)
    ]
