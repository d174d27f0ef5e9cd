"""Captions from words: which words share a caption, where its lines break, how long it stays.

Where a caption ends is a choice with a price: the end of a sentence costs nothing, the middle of a clause much. The
cheapest way to cut the whole lecture is found by dynamic programming: no caption is good at the next one's cost.
Whatever the words and their times: lines hold `line_length`, a caption has at most `lines`, captions stay between
`min_duration` and `max_duration`, come in order and leave `gap` between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from core import Segment, Word
from plugins.transcript.captions.typography import (
    SPACELESS,
    attach,
    clings,
    join,
    opens,
    pieces,
    precede,
    split_words,
    width,
)
from plugins.transcript.options import CaptionOptions

#: The latest moment, in seconds, that a word may claim: files state no more than 99:59:59.
_LATEST = 350_000.0

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


@dataclass(frozen=True)
class Piece:
    """What is never broken: a word with its punctuation. Times in seconds."""

    text: str
    start: float
    end: float
    width: int

    @property
    def ends_sentence(self) -> bool:
        return self.text.rstrip("\"'»”’)\u00a0\u202f").endswith((".", "!", "?", "…", "。", "！", "？"))

    @property
    def ends_clause(self) -> bool:
        return self.text.endswith((",", ";", ":", "—", "–", "、", "，"))

    @property
    def is_conjunction(self) -> bool:
        return self.text.lower() in _CONJUNCTIONS


def build_cues(segments: Sequence[Segment], language: str, rules: CaptionOptions) -> list[Cue]:
    """Turn what was heard into captions; from words, or from whole segments where an engine has no word times."""
    words = [word for segment in segments for word in (segment.words or spread(segment))]
    tokens = tokenize(words, language, rules.line_length)
    if not tokens:
        return []
    cuts = _Cutter(tokens, language, rules).cut()
    return list(_timed([tokens[i:j] for i, j in cuts], language, rules))


def spread(segment: Segment) -> list[Word]:
    """Give each word of a segment the time that its length suggests."""
    words = split_words(segment.text)
    total = sum(width(word) for word in words)
    seconds = max(segment.end - segment.start, 0.0)
    reached = [0, *accumulate(width(word) for word in words)]
    times = [segment.start + seconds * done / max(total, 1) for done in reached]
    return [Word(text=word, start=times[i], end=times[i + 1]) for i, word in enumerate(words)]


def tokenize(words: Sequence[Word], language: str, limit: int) -> list[Piece]:
    """Join words with the signs that cling to them; times never go back."""
    tokens: list[Piece] = []
    pending, clock = "", 0.0
    for word in words:
        parts = split_words(word.text)
        start = _time(word.start, clock)
        end = _time(word.end, start)
        step = (end - start) / max(len(parts), 1)
        clock = start
        for number, part in enumerate(parts):
            if opens(part):
                pending += part
                continue
            if clings(part) and tokens and not pending:
                last = tokens[-1]
                text = attach(last.text, part, language)
                if width(text) <= limit:
                    tokens[-1] = Piece(text, last.start, max(last.end, start), width(text))
                    continue
            text = precede(pending, part, language) if pending else part
            pending = ""
            span = start + number * step, start + (number + 1) * step
            tokens.extend(Piece(piece, *span, width(piece)) for piece in pieces(text, limit))
    tokens.extend(Piece(piece, clock, clock, width(piece)) for piece in pieces(pending, limit))
    return tokens


def _time(value: float, earliest: float) -> float:
    return min(max(value, earliest), _LATEST) if math.isfinite(value) else earliest


class _Cutter:
    """Finds the cheapest way to cut tokens into captions."""

    def __init__(self, tokens: Sequence[Piece], language: str, rules: CaptionOptions) -> None:
        self._tokens = tokens
        self._rules = rules
        self._space = 0 if language in SPACELESS else 1
        self._columns = [0, *accumulate(token.width + self._space for token in tokens)]
        self._inside = [0.0, 0.0, *accumulate(_inside(one, other) for one, other in pairwise(tokens))]

    def cut(self) -> list[tuple[int, int]]:
        """Return where each caption begins and ends."""
        count = len(self._tokens)
        best, came_from = [0.0] + [math.inf] * count, [0] * (count + 1)
        for end in range(1, count + 1):
            for start in range(end - 1, -1, -1):
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
        return self._columns[end] - self._columns[start] - self._space

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
    return _BEFORE_CONJUNCTION if following.is_conjunction else _BARE_CUT


def break_lines(tokens: Sequence[Piece], language: str, rules: CaptionOptions) -> tuple[str, ...]:
    """Set the words of one caption in lines: one if they fit, else two, broken where the sense allows it."""
    texts = [token.text for token in tokens]
    limit = rules.line_length
    if width(join(texts, language)) <= limit or len(tokens) == 1:
        return (join(texts, language),)

    def price(middle: int) -> float:
        above, below = join(texts[:middle], language), join(texts[middle:], language)
        uneven = abs(width(above) - width(below)) / limit
        overflow = max(width(above), width(below)) > limit
        alone = min(middle, len(texts) - middle) == 1
        return 1000.0 * overflow + _WIDOW * alone + _end_price(tokens[middle - 1], tokens[middle]) + 5.0 * uneven

    middle = min(range(1, len(tokens)), key=price)
    return join(texts[:middle], language), join(texts[middle:], language)


def _timed(captions: Sequence[Sequence[Piece]], language: str, rules: CaptionOptions) -> Iterator[Cue]:
    """Give each caption its times: from its first word until it is read, as far as the next one lets it.

    A caption that would be too short pushes the next one back; a pause later, they are on time again.
    """
    gap = math.ceil(rules.gap * 1000)
    shortest, longest = math.ceil(rules.min_duration * 1000), int(rules.max_duration * 1000)
    free = 0
    for number, tokens in enumerate(captions):
        lines = break_lines(tokens, language, rules)
        start = max(round(tokens[0].start * 1000), free)
        read = start + math.ceil(sum(map(width, lines)) / rules.reading_speed * 1000)
        following = captions[number + 1][0].start if number + 1 < len(captions) else math.inf
        latest = min(following * 1000 - gap, start + longest)
        end = int(max(min(max(round(tokens[-1].end * 1000), read), latest), start + shortest))
        yield Cue(start, end, lines)
        free = end + gap
