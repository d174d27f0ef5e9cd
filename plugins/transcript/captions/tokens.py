"""From words and their times to pieces: what no line and no caption takes apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from core import Segment, Word
from plugins.transcript.captions.breaking import fitting, phrases
from plugins.transcript.captions.reading import primary
from plugins.transcript.captions.typography import (
    NO_BREAK_SPACE,
    are_latin,
    attach,
    clings,
    elided,
    is_dash,
    is_spaceless,
    opens,
    precede,
    split_words,
    width,
)

#: The latest moment, in seconds, that a word may claim: files state no more than 99:59:59.
LATEST = 350_000.0

_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", "｡", "؟", "۔", "।", "॥", "။", "។", "๛")
#: Behind these a sign still ends its sentence.
CLOSERS = "\"'»”“’)」』）】\u00a0\u202f"
_CLAUSE_ENDS = (",", ";", ":", "—", "–", "、", "，", "；", "：", "،", "؛", "၊")


@dataclass(frozen=True)
class Piece:
    """What is never broken: a word with its punctuation. Times in seconds, width in columns."""

    text: str
    start: float
    end: float
    width: int
    #: What parts it from the piece before where both stand on one line: a space or nothing.
    space: str = " "

    @property
    def ends_sentence(self) -> bool:
        return ends_sentence(self.text)

    @property
    def ends_clause(self) -> bool:
        return self.text.endswith(_CLAUSE_ENDS)


def ends_sentence(text: str) -> bool:
    return text.rstrip(CLOSERS).endswith(_SENTENCE_ENDS)


def line_of(pieces: Sequence[Piece]) -> str:
    return "".join((piece.space if number else "") + piece.text for number, piece in enumerate(pieces))


def spread(segment: Segment) -> list[Word]:
    """Give each word of a segment the time that its length suggests."""
    words = split_words(segment.text)
    total = sum(width(word) for word in words)
    seconds = max(segment.end - segment.start, 0.0)
    reached = [0, *accumulate(width(word) for word in words)]
    times = [segment.start + seconds * done / max(total, 1) for done in reached]
    return [Word(text=word, start=times[i], end=times[i + 1]) for i, word in enumerate(words)]


def words_of(segment: Segment, language: str) -> list[Word]:
    """Return a segment's words; in languages without spaces a leading one says where the text has a space all the same.

    Engines leave it out of their words ("Deep", "Learning"), which would grow together.
    """
    words = list(segment.words or spread(segment))
    if not is_spaceless(language):
        return words
    parts = split_words(segment.text)
    bare = ["".join(split_words(word.text)) for word in words]
    if "".join(parts) != "".join(bare):
        return words
    spaces = {*accumulate(map(len, parts))}
    begins = [0, *accumulate(map(len, bare))]
    return [
        word.model_copy(update={"text": (" " if at in spaces else "") + word.text.strip()})
        for word, at in zip(words, begins, strict=False)
    ]


def tokenize(words: Sequence[Word], language: str, limit: int) -> list[Piece]:
    """Join words with the signs that cling to them, letters to phrases; times never go back.

    No piece is wider than `limit` columns.
    """
    timed = _in_order(words)
    return _phrased(timed, language, limit) if is_spaceless(language) else _spaced(timed, language, limit)


def _in_order(words: Sequence[Word]) -> Iterator[Word]:
    clock = 0.0
    for word in words:
        clock = _time(word.start, clock)
        yield word.model_copy(update={"start": clock, "end": _time(word.end, clock)})


def _time(value: float, earliest: float) -> float:
    return min(max(value, earliest), LATEST) if math.isfinite(value) else earliest


def _spaced(words: Iterator[Word], language: str, limit: int) -> list[Piece]:
    pieces: list[Piece] = []
    pending, clock = "", 0.0
    for word in words:
        parts = split_words(word.text)
        step = (word.end - word.start) / max(len(parts), 1)
        clock = word.start
        for number, part in enumerate(parts):
            if opens(part, language) or elided(part, language) or (is_dash(part) and _begins(pieces, pending)):
                pending = precede(pending, part, language) if pending else part
                continue
            last = pieces[-1] if pieces and not pending else None
            if last and (text := _attached(last, part, language)) and width(text) <= limit:
                pieces[-1] = Piece(text, last.start, max(last.end, clock), width(text))
                continue
            text = precede(pending, part, language) if pending else part
            pending = ""
            span = clock + number * step, clock + (number + 1) * step
            pieces.extend(Piece(piece, *span, width(piece)) for piece in fitting(text, limit))
    pieces.extend(Piece(piece, clock, clock, width(piece)) for piece in fitting(pending, limit))
    return pieces


def _begins(pieces: Sequence[Piece], pending: str) -> bool:
    return bool(pending) or not pieces or pieces[-1].ends_sentence


def _attached(last: Piece, part: str, language: str) -> str:
    """Return the piece with what may not open a line after it, or nothing: `part` is a word."""
    if clings(part, language):
        return attach(last.text, part, language)
    if is_dash(part):
        return last.text + NO_BREAK_SPACE + part
    if primary(language) == "fr" and part[0] in "'’-" and last.text[-1].isalpha():
        return last.text + part
    return ""


def _phrased(words: Iterator[Word], language: str, limit: int) -> list[Piece]:
    text, times = _characters(words)
    pieces: list[Piece] = []
    at = 0
    for phrase in phrases(text, language):
        for part in fitting(phrase.rstrip(" "), limit):
            space = " " if text[at - 1 : at] == " " else ""
            said = times[at : at + len(part)]
            pieces.append(Piece(part, said[0][0], said[-1][1], width(part), space))
            at += len(part)
        at += len(phrase) - len(phrase.rstrip(" "))
    return pieces


def _characters(words: Iterator[Word]) -> tuple[str, list[tuple[float, float]]]:
    """Return the text of all words and for each of its characters when it is said."""
    text: list[str] = []
    times: list[tuple[float, float]] = []
    for word in words:
        shown = " ".join(split_words(word.text))
        if not shown:
            continue
        before = text[-1][-1] if text else ""
        # Between two characters of East Asia a space is an engine's, not the language's.
        spaced = word.text[:1] == " " and (width(before) < 2 or width(shown[0]) < 2)
        if text and (spaced or (len(shown) > 1 and are_latin(before, shown))):
            shown = " " + shown
        step = (word.end - word.start) / len(shown)
        text.append(shown)
        times += [(word.start + at * step, word.start + (at + 1) * step) for at in range(len(shown))]
    return "".join(text), times
