"""The glossary's second half: what was misheard all the same is put right, word by word."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from core import Segment, Transcript, Word
from plugins.transcript.captions.tokens import spread
from plugins.transcript.captions.typography import join, split_words, width

#: What stands before a word's first letter, the word, what stands behind its last; each character is looked at twice.
_MARKS = re.compile(r"^(\W*+)((?:.*\w)?)(\W*+)$", re.DOTALL)


def correct(transcript: Transcript, corrections: Mapping[str, str]) -> Transcript:
    """Replace each wrong expression, in any case, where it stands as whole words within a segment."""
    rules = [(_folded(split_words(wrong)), right) for wrong, right in corrections.items() if split_words(wrong)]
    rules.sort(key=lambda rule: -len(rule[0]))
    if not rules:
        return transcript
    segments = tuple(
        _corrected(segment, rules, segment.language or transcript.language) for segment in transcript.segments
    )
    return transcript.model_copy(update={"segments": segments})


def _folded(words: Sequence[str]) -> list[str]:
    return [_bare(word).casefold() for word in words]


def _bare(word: str) -> str:
    match = _MARKS.match(word)
    return match[2] if match else word


def _corrected(segment: Segment, rules: Sequence[tuple[list[str], str]], language: str) -> Segment:
    words = list(segment.words or spread(segment))
    folded = _folded([word.text.strip() for word in words])
    corrected: list[Word] = []
    at = 0
    while at < len(words):
        wrong, right = next((rule for rule in rules if folded[at : at + len(rule[0])] == rule[0]), ([], ""))
        if wrong:
            corrected += _replaced(words[at : at + len(wrong)], right)
        else:
            corrected.append(words[at])
        at += len(wrong) or 1
    if corrected == words:
        return segment
    text = join([word.text.strip() for word in corrected], language)
    return segment.model_copy(update={"text": text, "words": tuple(corrected) if segment.words else ()})


def _replaced(words: Sequence[Word], right: str) -> list[Word]:
    """Say `right` in the time of `words`, with the punctuation around them."""
    first, last = words[0], words[-1]
    before, after = _MARKS.match(first.text.strip()), _MARKS.match(last.text.strip())
    assert before is not None
    assert after is not None
    texts = split_words(before[1] + right + after[3])
    total = max(sum(map(width, texts)), 1)
    confidences = [word.confidence for word in words if word.confidence is not None]
    said, replaced = 0, []
    for text in texts:
        start = first.start + (last.end - first.start) * said / total
        said += width(text)
        end = first.start + (last.end - first.start) * said / total
        replaced.append(Word(text=text, start=start, end=end, confidence=min(confidences, default=None)))
    return replaced
