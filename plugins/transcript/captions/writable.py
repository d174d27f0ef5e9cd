"""What an engine of anybody's may say, made what files can hold: numbers that JSON has, text that UTF-8 has.

Captions take nothing else anyway; so the JSON, the plain text and the review page say the same as they do.
"""

from __future__ import annotations

import math

from core import Segment, Transcript, Word
from plugins.transcript.captions.tokens import LATEST


def writable(transcript: Transcript) -> Transcript:
    """Return the transcript without times that are no time, confidences that are no share, and halves of characters."""
    segments, clock = [], 0.0
    for segment in transcript.segments:
        segments.append(_segment(segment, clock))
        clock = segments[-1].start
    return transcript.model_copy(update={"segments": tuple(segments)})


def _segment(segment: Segment, clock: float) -> Segment:
    start = _time(segment.start, clock)
    words, at = [], start
    for word in segment.words:
        words.append(_word(word, at))
        at = words[-1].start
    return segment.model_copy(
        update={
            "text": _text(segment.text),
            "start": start,
            "end": max(_time(segment.end, start), start),
            "words": tuple(words),
        }
    )


def _word(word: Word, clock: float) -> Word:
    start = _time(word.start, clock)
    sure = word.confidence
    return Word(
        text=_text(word.text),
        start=start,
        end=max(_time(word.end, start), start),
        confidence=sure if sure is not None and 0 <= sure <= 1 else None,
    )


def _time(value: float, otherwise: float) -> float:
    return min(max(value, 0.0), LATEST) if math.isfinite(value) else otherwise


def _text(text: str) -> str:
    """Drop lone surrogates and what no text has (NUL, escapes); line breaks stay."""
    if text.isprintable():
        return text
    return "".join(char for char in text if char >= " " or char in "\t\n\r").encode(errors="ignore").decode()
