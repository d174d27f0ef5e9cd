"""Captions and transcripts as files."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core import Transcript
from plugins.transcript.captions.cues import Cue
from plugins.transcript.captions.direction import for_subrip, for_webvtt

#: Seconds of silence that begin a paragraph of the plain text.
_PARAGRAPH = 2.0

_NO_TAG = re.compile(r"[^A-Za-z0-9-]")


@dataclass(frozen=True)
class Format:
    """How one kind of file is called and written."""

    kind: Literal["caption", "transcript"]
    media_type: str
    render: Callable[[Transcript, Sequence[Cue]], str]


def webvtt(transcript: Transcript, cues: Sequence[Cue]) -> str:
    """A cue in another language than the file's says so (WebVTT section 4.2.2, language spans)."""
    blocks = [
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{_marked_up(cue, transcript.language)}\n" for cue in cues
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def subrip(transcript: Transcript, cues: Sequence[Cue]) -> str:
    """SubRip has no escapes, and knows a new cue by its arrow."""
    blocks = []
    for number, cue in enumerate(cues, 1):
        text = "\n".join(for_subrip(line, cue.language or transcript.language) for line in cue.lines).replace(
            "-->", "->"
        )
        blocks.append(f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{text}\n")
    return "\n".join(blocks)


def plain(transcript: Transcript, _cues: Sequence[Cue]) -> str:
    """Return the text in paragraphs, a new one after each longer silence."""
    paragraphs: list[list[str]] = []
    end = -_PARAGRAPH
    for segment in transcript.segments:
        if segment.start - end >= _PARAGRAPH:
            paragraphs.append([])
        paragraphs[-1].append(" ".join(segment.text.split()))
        end = segment.end
    return "".join(f"{' '.join(paragraph)}\n\n" for paragraph in paragraphs).removesuffix("\n")


def tag_of(language: str) -> str:
    """Return a language as markup may say it."""
    return _NO_TAG.sub("", language)


def _clock(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{rest:03}"


def _marked_up(cue: Cue, language: str) -> str:
    text = "\n".join(html.escape(for_webvtt(line, cue.language or language), quote=False) for line in cue.lines)
    tag = tag_of(cue.language)
    return f"<lang {tag}>{text}</lang>" if tag and cue.language != language else text


FORMATS: Mapping[str, Format] = {
    "vtt": Format("caption", "text/vtt", webvtt),
    "srt": Format("caption", "application/x-subrip", subrip),
    "json": Format("transcript", "application/json", lambda transcript, _cues: transcript.to_json()),
    "txt": Format("transcript", "text/plain", plain),
}
