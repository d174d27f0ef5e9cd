"""How sure an engine was: of all words, of each segment, of each caption. One without confidences is never doubted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core import Segment, Transcript, Word
from plugins.transcript.captions.cues import Cue
from plugins.transcript.captions.tokens import spread

#: Below this a word is rather wrong than right.
EVEN = 0.5

#: Share of such words from which a transcript as a whole is noted.
_MANY = 0.15


@dataclass(frozen=True)
class Run:
    """A piece of a caption's text: a word whose confidence is known, or whatever stands between such words."""

    text: str
    confidence: float | None
    doubtful: bool = False


@dataclass(frozen=True)
class HeardCue:
    """A caption and how sure the engine was of it."""

    cue: Cue
    #: Its text, line breaks included, in pieces.
    runs: tuple[Run, ...]
    #: The least of its words': a caption is as right as its worst word. Heard by `base`, of the captions with an error
    #: 79 % have a word below 0.5 in a French talk, 50 % in an English lecture, and of those that have one 77 and 48 %
    #: have an error; by the words' mean 3 % would be found in the talk.
    confidence: float | None
    doubtful: bool


def facts(transcript: Transcript) -> Mapping[str, Any]:
    """Return `word_confidence` (mean) and `words_uncertain` (share below 0.5); nothing without confidences."""
    known = _known(word for segment in transcript.segments for word in segment.words)
    if not known:
        return {}
    return {
        "word_confidence": round(sum(known) / len(known), 3),
        "words_uncertain": round(sum(one < EVEN for one in known) / len(known), 3),
    }


def notes(transcript: Transcript) -> tuple[str, ...]:
    """Say it where so many words are uncertain that a person should know."""
    share = facts(transcript).get("words_uncertain", 0.0)
    if share < _MANY:
        return ()
    remedy = "a larger model or a glossary may help, and the format `review` makes a page to correct them"
    return (f"{share:.0%} of the words in `{transcript.language}` are uncertain: {remedy}",)


def marked(transcript: Transcript, bar: float) -> Transcript:
    """Return the transcript with its doubtful segments marked, each with its confidence."""
    segments = tuple(_marked(segment, bar) for segment in transcript.segments)
    return transcript.model_copy(update={"segments": segments})


def _marked(segment: Segment, bar: float) -> Segment:
    least = min(_known(segment.words), default=None)
    if least is None or least >= bar:
        return segment
    return segment.model_copy(update={"confidence": least, "doubtful": True})


def heard(transcript: Transcript, cues: Iterable[Cue], bar: float) -> list[HeardCue]:
    """Find the words of each caption.

    Captions say the words in their order, whatever is done to spaces, lines and signs; so letters are counted.
    """
    words = [word for segment in transcript.segments for word in (segment.words or spread(segment))]
    letters = [at for at, word in enumerate(words) for _ in range(_letters(word.text))]
    found, said = [], 0
    for cue in cues:
        text = "\n".join(cue.lines)
        own = letters[said : said + _letters(text)]
        said += len(own)
        least = min(_known(words[at] for at in own), default=None)
        runs = tuple(_runs(text, own, words, bar))
        found.append(HeardCue(cue, runs, least, least is not None and least < bar))
    return found


def _runs(text: str, own: Sequence[int], words: Sequence[Word], bar: float) -> Iterator[Run]:
    """Cut a text where its words begin and end; `own` has, for each of its letters, the place of its word."""
    at, written = 0, 0
    while at < len(own):
        following = next((later for later in range(at, len(own)) if own[later] != own[at]), len(own))
        start, end = _place(text, at), _place(text, following - 1) + 1
        if start > written:
            yield Run(text[written:start], None)
        sure = words[own[at]].confidence
        yield Run(text[start:end], sure, doubtful=sure is not None and sure < bar)
        at, written = following, end
    if written < len(text):
        yield Run(text[written:], None)


def _place(text: str, number: int) -> int:
    """Return where the letter of that number stands."""
    return [at for at, char in enumerate(text) if char.isalnum()][number]


def _letters(text: str) -> int:
    return sum(map(str.isalnum, text))


def _known(words: Iterable[Word]) -> list[float]:
    return [word.confidence for word in words if word.confidence is not None]
