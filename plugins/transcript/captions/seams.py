"""Capital letters where two pieces of a recording meet: "a process, The invention" becomes "a process, the invention".

Whisper hears a window at a time and begins each like a sentence; within one, its segments often begin so too. Which
segment begins a window is not kept with it, so each is taken to: what is written about a capital holds for both.

The first letter of a segment is lowered where all of this is true:

- what is said before it, in the same language, ends with a comma or a semicolon; or with no sign at all, less than a
  pause before, in a recording that has signs (without any, capitals alone tell sentences apart);
- the word has a capital at its head only: neither an acronym nor a name like "McDonald";
- elsewhere in the recording, in mid-sentence, the word is more often written small. So names, "I", and whatever is
  heard but once stay, as in truecasers (Lita et al., "tRuEcasIng", ACL 2003; Moses' `truecase.perl`): a name in small
  letters is a worse fault than a capital too many. Of English and French, words that are never names are known.

Languages that write nouns with capitals are left alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from core import Segment, Transcript
from plugins.transcript.captions.reading import primary
from plugins.transcript.captions.tokens import CLOSERS, ends_sentence
from plugins.transcript.captions.typography import elided, split_words

#: Languages whose nouns have capitals (German, Luxembourgish, Low and Pennsylvania German).
_NOUN_CAPITALS = frozenset({"de", "lb", "nds", "pdc"})

#: Where "I" is the capital of another letter than elsewhere.
_DOTLESS = frozenset({"tr", "az"})

#: Seconds between two segments from which the second may well be a sentence of its own.
_PAUSE = 1.0

#: After these the sentence goes on; after a colon or a dash a capital may be right.
_GOES_ON = (",", ";", "，", "،", "؛")

_NO_NAMES = {
    "en": frozenset(
        [
            *("a", "an", "the", "and", "but", "or", "so", "because", "that", "which", "when", "where", "if", "this"),
            *("it", "he", "she", "we", "you", "they", "is", "are", "as", "at", "by", "for", "from", "in", "of", "to"),
        ]
    ),
    "fr": frozenset(
        [
            *("le", "la", "les", "l", "un", "une", "des", "d", "de", "du", "et", "mais", "ou", "donc", "car", "que"),
            *("qu", "qui", "dont", "où", "quand", "si", "ce", "cette", "ces", "c", "il", "elle", "on", "nous", "vous"),
            *("ils", "elles", "je", "j", "est", "en", "à", "au", "aux", "par", "pour", "sur", "dans", "avec"),
        ]
    ),
}

#: A word's letters up to an apostrophe or a hyphen, and the rest of it.
_WORD = re.compile(r"([^\W\d_]+)(.*)", re.DOTALL)


def lowered(transcript: Transcript) -> Transcript:
    """Return the transcript without capitals that only a seam has made, in its texts and in its words."""
    segments = list(transcript.segments)
    languages = [segment.language or transcript.language for segment in segments]
    written = {language: _Written(segments, languages, language) for language in dict.fromkeys(languages)}
    for at, (one, other) in enumerate(pairwise(transcript.segments), 1):
        own = languages[at]
        if own == languages[at - 1] and primary(own) not in _NOUN_CAPITALS and written[own].goes_on(one, other):
            segments[at] = _lowered(other, own)
    return transcript.model_copy(update={"segments": tuple(segments)})


class _Written:
    """How a recording writes its words in one language."""

    def __init__(self, segments: Sequence[Segment], languages: Sequence[str], language: str) -> None:
        own = [split_words(segment.text) for segment, code in zip(segments, languages, strict=True) if code == language]
        self._language = language
        self._has_signs = any(ends_sentence(word) for words in own for word in words)
        self._small, self._great = Counter[str](), Counter[str]()
        for word in (word for words in own for word in _inside(words)):
            stem, _ = _parts(word)
            count = self._small if stem[:1].islower() else self._great
            count[_lower(stem, language)] += 1

    def goes_on(self, before: Segment, after: Segment) -> bool:
        """Tell whether a segment begins in mid-sentence, and with a word that has no capital there."""
        said, following = split_words(before.text), split_words(after.text)
        return (
            bool(said and following)
            and self._is_open(said[-1], after.start - before.end)
            and self._is_small(following[0])
        )

    def _is_open(self, last: str, pause: float) -> bool:
        bare = last.rstrip(CLOSERS)
        if bare.endswith(_GOES_ON):
            return True
        return self._has_signs and pause < _PAUSE and bare[-1:].isalnum()

    def _is_small(self, word: str) -> bool:
        stem, rest = _parts(word)
        more = stem[1:] if elided(f"{stem}'", self._language) else stem[1:] + rest
        if not stem[:1].isupper() or more != more.lower():
            return False
        key = _lower(stem, self._language)
        small, great = self._small[key], self._great[key]
        return small > great if small or great else key in _NO_NAMES.get(primary(self._language), ())


def _inside(words: Sequence[str]) -> Iterator[str]:
    """Yield the words of a segment that stand in mid-sentence."""
    return (other for one, other in pairwise(words) if one[-1:].isalnum() or one.endswith(_GOES_ON))


def _parts(word: str) -> tuple[str, str]:
    """Return a word's first letters, and the rest; two empty texts for what begins with another sign."""
    found = _WORD.match(word)
    return (found[1], found[2]) if found else ("", "")


def _lower(text: str, language: str) -> str:
    return (text.replace("I", "ı").replace("İ", "i") if primary(language) in _DOTLESS else text).lower()


def _lowered(segment: Segment, language: str) -> Segment:
    text = _lowered_head(segment.text, language)
    words = list(segment.words)
    if words and words[0].text.lstrip()[:1] == segment.text.lstrip()[:1]:
        words[0] = words[0].model_copy(update={"text": _lowered_head(words[0].text, language)})
    return segment.model_copy(update={"text": text, "words": tuple(words)})


def _lowered_head(text: str, language: str) -> str:
    at = len(text) - len(text.lstrip())
    return text[:at] + _lower(text[at : at + 1], language) + text[at + 1 :]
