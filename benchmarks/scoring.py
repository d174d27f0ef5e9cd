"""How many words of a recording a recogniser got wrong, made up, never wrote, or put at another time than they have.

The truth is JSON: `segments` with start, end (seconds) and text, and `gaps` with start and end, where nobody speaks.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

#: Words in a row without a counterpart that count as missed: fewer are misheard.
_MISSED = 4


@dataclass(frozen=True)
class Score:
    """Of one transcription of one recording."""

    #: Share of the truth's words that are wrong, missing, or too many.
    errors: float
    #: Words where nobody speaks.
    invented: int
    #: Seconds in which the truth has words, and the transcription none in a row.
    missed: float
    #: By how many seconds the first word of each of the truth's segments is early or late.
    onsets: Sequence[float] = ()

    def onset(self, percentile: float) -> float:
        return float(np.percentile(self.onsets, percentile)) if self.onsets else 0.0


def score(words: Sequence[tuple[str, float, float]], truth: Mapping[str, Any], language: str) -> Score:
    """Compare words and their times (seconds) with the truth, by whisper's normaliser of the language."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # whisper leaves its list of spellings open
        plain: Callable[[str], str] = EnglishTextNormalizer() if language == "en" else BasicTextNormalizer()
    spoken: list[str] = []
    paces: list[float] = []
    begins: dict[int, float] = {}
    for segment in truth["segments"]:
        part = plain(segment["text"]).split()
        begins[len(spoken)] = segment["start"]
        spoken += part
        paces += [(segment["end"] - segment["start"]) / max(len(part), 1)] * len(part)
    written = plain(" ".join(word[0].strip() for word in words)).split()
    table = _distances(spoken, written)
    counterparts = _counterparts(spoken, written, table)
    runs = [
        [at for at, _ in run]
        for is_missing, run in groupby(enumerate(counterparts), key=lambda place: place[1] is None)
        if is_missing
    ]
    missed = sum(paces[at] for run in runs if len(run) >= _MISSED for at in run)
    middles = [(start + end) / 2 for _, start, end in words]
    invented = sum(bool(gap["start"] < middle < gap["end"]) for gap in truth.get("gaps", ()) for middle in middles)
    times = _times(words, written, plain)
    pairs = [(counterparts[at], begin) for at, begin in begins.items() if at < len(spoken)]
    onsets = [abs(times[place] - begin) for place, begin in pairs if place is not None and place < len(times)]
    return Score(float(table[-1, -1]) / max(len(spoken), 1), invented, missed, onsets)


def _times(
    words: Sequence[tuple[str, float, float]], written: Sequence[str], plain: Callable[[str], str]
) -> list[float]:
    """Return when each of the written words begins: normalised together, they are not what each is alone."""
    alone = [(part, word[1]) for word in words for part in plain(word[0]).split()]
    parts = [part for part, _ in alone]
    times: list[float] = []
    for place in _counterparts(written, parts, _distances(written, parts)):
        times.append(alone[place][1] if place is not None else times[-1] if times else 0.0)
    return times


def _distances(spoken: Sequence[str], written: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return Levenshtein's table of the two, in words."""
    table = np.zeros((len(spoken) + 1, len(written) + 1), np.int64)
    table[:, 0], table[0] = range(len(spoken) + 1), range(len(written) + 1)
    for i, word in enumerate(spoken, 1):
        for j, other in enumerate(written, 1):
            table[i, j] = min(table[i - 1, j - 1] + (word != other), table[i - 1, j] + 1, table[i, j - 1] + 1)
    return table


def _counterparts(
    spoken: Sequence[str], written: Sequence[str], table: np.ndarray[Any, np.dtype[np.int64]]
) -> list[int | None]:
    """Return of each spoken word the place of the one that was written for it, on the cheapest way through the table.

    None: it has no counterpart. One that was misheard has one.
    """
    i, j = len(spoken), len(written)
    places: list[int | None] = [None] * i
    while i or j:
        if i and j and table[i, j] == table[i - 1, j - 1] + (spoken[i - 1] != written[j - 1]):
            i, j = i - 1, j - 1
            places[i] = j
        elif i and table[i, j] == table[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return places
