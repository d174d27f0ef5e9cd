"""How many words of a recording a recogniser got wrong, made up, or never wrote, against its truth.

The truth is JSON: `segments` with start, end (seconds) and text, and `gaps` with start and end, where nobody speaks.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from whisper.normalizers import EnglishTextNormalizer

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


def score(text: str, words: Sequence[tuple[str, float, float]], truth: Mapping[str, Any]) -> Score:
    """Compare a transcription's text, and its words with their times, with the truth, by whisper's normaliser."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # whisper leaves its list of spellings open
        plain = EnglishTextNormalizer()
    spoken, paces = [], []
    for segment in truth["segments"]:
        part = plain(segment["text"]).split()
        spoken += part
        paces += [(segment["end"] - segment["start"]) / max(len(part), 1)] * len(part)
    written = plain(text).split()
    table = _distances(spoken, written)
    runs = [
        [at for at, _ in run]
        for is_missing, run in groupby(enumerate(_missing(spoken, written, table)), key=lambda place: place[1])
        if is_missing
    ]
    missed = sum(paces[at] for run in runs if len(run) >= _MISSED for at in run)
    middles = [(start + end) / 2 for _, start, end in words]
    invented = sum(gap["start"] < middle < gap["end"] for gap in truth.get("gaps", ()) for middle in middles)
    return Score(float(table[-1, -1]) / max(len(spoken), 1), invented, missed)


def _distances(spoken: Sequence[str], written: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return Levenshtein's table of the two, in words."""
    table = np.zeros((len(spoken) + 1, len(written) + 1), np.int64)
    table[:, 0], table[0] = range(len(spoken) + 1), range(len(written) + 1)
    for i, word in enumerate(spoken, 1):
        for j, other in enumerate(written, 1):
            table[i, j] = min(table[i - 1, j - 1] + (word != other), table[i - 1, j] + 1, table[i, j - 1] + 1)
    return table


def _missing(spoken: Sequence[str], written: Sequence[str], table: np.ndarray[Any, np.dtype[np.int64]]) -> list[bool]:
    """Tell of each spoken word whether it has no counterpart, on the cheapest way through the table."""
    i, j = len(spoken), len(written)
    missing = [False] * i
    while i or j:
        if i and j and table[i, j] == table[i - 1, j - 1] + (spoken[i - 1] != written[j - 1]):
            i, j = i - 1, j - 1
        elif i and table[i, j] == table[i - 1, j] + 1:
            i -= 1
            missing[i] = True
        else:
            j -= 1
    return missing
