"""What a source says in words: its chapters, its subtitles, the languages of its tracks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from plugins.media.limits import LONGEST_LANGUAGE, cut_note, objection, shortened
from plugins.media.settings import MediaSettings

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream


@dataclass(frozen=True)
class SubtitleTrack:
    index: int
    #: As the file says it ("fra"), None where it doesn't.
    language: str | None
    is_text: bool


@dataclass(frozen=True)
class Chapter:
    """Times in seconds; of a source they begin with its first picture or sound."""

    start: Fraction
    end: Fraction
    title: str


def chapters_of(
    container: InputContainer, origin: Fraction, duration: float, settings: MediaSettings
) -> tuple[list[Chapter], list[str]]:
    """Return the chapters that are kept, and notes of what is not."""
    all_, most = container.chapters(), settings.chapter_limit
    notes = []
    if len(all_) > most:
        notes.append(
            f"{len(all_) - most} of {len(all_)} chapters were left out: the first {most} are kept "
            "(`chapter_limit` of [plugin.media])"
        )
    chapters = list(_chapters(all_[:most], origin, duration))
    if long := sum(len(chapter.title) > settings.title_limit for chapter in chapters):
        notes.append(cut_note(long, settings))
    return [replace(chapter, title=shortened(chapter.title, settings)) for chapter in chapters], notes


def _chapters(chapters: Sequence[Mapping[str, Any]], origin: Fraction, duration: float) -> Iterator[Chapter]:
    for number, chapter in enumerate(chapters, start=1):
        unit = chapter["time_base"] or Fraction(0)
        start = max(chapter["start"] * unit - origin, Fraction(0))
        end = min(chapter["end"] * unit - origin, Fraction(duration))
        if end > start:
            yield Chapter(start, end, chapter["metadata"].get("title") or f"{number}")


def subtitles_of(container: InputContainer, settings: MediaSettings) -> tuple[list[SubtitleTrack], list[str]]:
    found, notes = [], []
    for stream in container.streams.subtitles:
        if not stream.codec_context:
            notes.append(f"subtitle track {stream.index} is of a kind that can't be read and was left out")
            continue
        is_text = stream.codec_context.codec.text_sub
        wrong = objection(stream, settings) if is_text else None
        if wrong:
            notes.append(f"subtitle track {stream.index} {wrong.words}, and was left out")
        else:
            found.append(SubtitleTrack(stream.index, language_of(stream), is_text))
    return found, notes


def language_of(stream: Stream) -> str | None:
    """Return what the file says, unless it is nothing or no tag: files are named by it."""
    language = stream.language
    return language if language not in {None, "", "und"} and len(language) <= LONGEST_LANGUAGE else None
