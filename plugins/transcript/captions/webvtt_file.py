"""WebVTT as a person brings it back: which caption stands on which line, so that a fault can be named."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from plugins.transcript.captions.cues import Cue
from plugins.transcript.captions.reading import columns, scaled
from plugins.transcript.captions.typography import width
from plugins.transcript.options import CaptionOptions

#: As players read it, which is more than files may write (section 6.3).
_CLOCK = r"(?:(\d{1,4}):)?([0-5]\d):([0-5]\d)\.(\d{3})"
_TIMES = re.compile(rf"{_CLOCK}[ \t]*-->[ \t]*{_CLOCK}(?:[ \t].*)?")
#: Not over another "<": of a line with thousands of them each would be looked for to its end.
_TAG = re.compile(r"</?[A-Za-z0-9][^<>]*>")
#: No other ends a line (section 4); Python's splitlines knows more.
_LINE_END = re.compile(r"\r\n|\r|\n")
#: A caption that is in one language as a whole.
_LANGUAGE = re.compile(r"<lang(?:\.[^ <>]*+)? ++([A-Za-z0-9-]++) *+>(?:(?!<lang|</lang).)*+(?:</lang>)?\s*", re.DOTALL)

#: Marks of direction, which captions get when they are written (captions/direction.py).
_MARKS = dict.fromkeys(map(ord, "\u200e\u200f\u2066\u2067\u2068\u2069"))

#: Milliseconds that a last caption may outlast the film: it stays until it is read.
_AFTER_END = 10_000


@dataclass(frozen=True)
class ReadCue:
    """A caption, its place among all (from 1), and the line that its times stand on."""

    cue: Cue
    number: int
    line: int

    @property
    def place(self) -> str:
        return f"caption {self.number}, line {self.line}"


def read(text: str) -> tuple[list[ReadCue], list[str]]:
    """Return the captions of a WebVTT file, and what is no WebVTT in it.

    Of a caption's tags only its language is kept; its settings are dropped, and so are marks of direction.
    """
    lines = _LINE_END.split(text.removeprefix("\ufeff"))
    if not lines or not re.fullmatch(r"WEBVTT([ \t].*)?", lines[0]):
        return [], ["line 1: does not begin with WEBVTT"]
    cues: list[ReadCue] = []
    faults: list[str] = []
    for first, block in _blocks(lines[1:]):
        at = next((at for at, line in enumerate(block[:2]) if "-->" in line), None)
        if at is None and re.match(r"(NOTE|STYLE|REGION)([ \t]|$)", block[0]):
            continue
        times = _TIMES.fullmatch(block[at].strip()) if at is not None else None
        if at is None or times is None:
            faults.append(f"line {first + (at or 0)}: no times of a caption ({block[at or 0][:60]!r})")
            continue
        payload = block[at + 1 :]
        said = tuple(html.unescape(_TAG.sub("", line)).translate(_MARKS).strip() for line in payload)
        spoken = _LANGUAGE.fullmatch("\n".join(payload))
        cue = Cue(
            _milliseconds(times.groups()[:4]),
            _milliseconds(times.groups()[4:]),
            tuple(filter(None, said)),
            spoken[1] if spoken else "",
        )
        cues.append(ReadCue(cue, len(cues) + 1, first + at))
    return cues, faults


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield what stands between empty lines, each with the number of its first line; the file's first line is left out.

    As players have it (section 6.1): what follows the first line directly is a header up to the first arrow, and in a
    caption's text an arrow begins the next caption.
    """
    block: list[str] = []
    is_header = True
    for number, line in enumerate([*lines, ""], 2):
        has_arrow = "-->" in line
        if line.strip() and not (has_arrow and (is_header or any("-->" in one for one in block))):
            block.append(line)
            continue
        if block and not is_header:
            yield number - len(block), block
        block, is_header = [line] if has_arrow else [], False


def _milliseconds(clock: Sequence[str | None]) -> int:
    hours, minutes, seconds, rest = (int(part or 0) for part in clock)
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + rest


def errors(cues: Sequence[ReadCue], seconds: float | None) -> Iterator[str]:
    """Say what no player can show right.

    :param seconds: how long the film is, if that is known.
    """
    for one in cues:
        if not one.cue.lines:
            yield f"{one.place}: has no text"
        if one.cue.end <= one.cue.start:
            yield f"{one.place}: ends before it begins"
        if seconds and (one.cue.start >= seconds * 1000 or one.cue.end > seconds * 1000 + _AFTER_END):
            yield f"{one.place}: lies beyond the film's end ({seconds:.1f} s)"
    for one, other in pairwise(cues):
        if other.cue.start < one.cue.start:
            yield f"{other.place}: begins before caption {one.number} does"
        elif other.cue.start < one.cue.end:
            yield f"{other.place}: begins before caption {one.number} is over"


def warnings(cues: Sequence[ReadCue], asked: CaptionOptions, language: str) -> Iterator[str]:
    """Say which captions are hard to read, by the job's rules, counted in characters of their script."""
    for one in cues:
        own = one.cue.language or language
        rules, wide = scaled(asked, own), columns(own)
        lines, seconds = one.cue.lines, (one.cue.end - one.cue.start) / 1000
        if len(lines) > rules.lines:
            yield f"{one.place}: has {len(lines)} lines, more than {rules.lines}"
        if (longest := max(map(width, lines))) > rules.line_length:
            yield f"{one.place}: a line has {longest / wide:g} characters, more than {rules.line_length / wide:g}"
        if (speed := sum(map(width, lines)) / seconds) > rules.reading_speed * 1.05:
            most = f"more than {rules.reading_speed / wide:g}"
            yield f"{one.place}: {speed / wide:.0f} characters a second, {most}"
        if not rules.min_duration - 0.01 <= seconds <= rules.max_duration + 0.01:
            yield f"{one.place}: stays {seconds:.1f} s, not {rules.min_duration:g} to {rules.max_duration:g}"
