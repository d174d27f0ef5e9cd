"""What was said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from core.model.base import Model


class Word(Model):
    """One spoken word; times in seconds of the source."""

    text: str
    start: float
    end: float
    confidence: float | None = None


class Segment(Model):
    """What is said in one breath. `words` may be empty where an engine has no word times."""

    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()
    #: BCP 47 tag, where this is said in another language than the transcript's.
    language: str | None = None


class Transcript(Model):
    """What an engine heard. No segments is a success: nobody spoke."""

    #: BCP 47 tag of what `segments` are written in.
    language: str
    segments: tuple[Segment, ...]
    notes: tuple[str, ...] = ()
    #: What the engine learnt (language_probability, duration, ...); goes into the step's facts.
    facts: Mapping[str, Any] = Field(default_factory=dict)
    #: The language that was spoken, when this is a translation of it.
    translated_from: str | None = None
    #: The same in other languages; each gets captions of its own.
    translations: tuple[Transcript, ...] = ()
