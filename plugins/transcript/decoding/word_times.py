"""Words of a window placed in time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from core import Segment, Word
from plugins.transcript.captions.tokens import ends_sentence
from plugins.transcript.decoding.model import WordTiming

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from whisper.tokenizer import Tokenizer

#: Encoder frames a second.
_FRAMES = 50

#: Signs that belong to the word after and to the one before them (whisper/transcribe.py).
_BEFORE, _AFTER = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"

_SENTENCE_ENDS = ".。!！?？"

#: Seconds of a usual word at most, if the window's words say more (whisper/timing.py).
_USUAL = 0.7

#: Seconds by which a word may differ from its segment's own stamps.
_SLACK = 0.5

#: Seconds that a word may begin before the detector hears somebody, and end after: soft consonants are heard late.
_LEAD, _TAIL = 0.05, 0.2

#: Seconds between a sentence's first two words that are a pause.
_PAUSE = 1.0

#: Seconds of silence around speech that the model is given, in which it may put a word that it heard behind it.
_AROUND = 1.0


def timed(
    tokens: Sequence[int], tokenizer: Tokenizer, path: NDArray[np.int64], probabilities: Sequence[float]
) -> list[WordTiming]:
    """Put tokens together to words and give them times (whisper/timing.py, find_alignment).

    :param path: rows of a token's number and an encoder frame of its, both rising; last comes the end of the text's.
    """
    words, parts = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    begins = path[np.diff(path[:, 0], prepend=-1) > 0, 1] / _FRAMES
    ends = np.cumsum([0, *map(len, parts[:-1])])
    return [
        WordTiming(word, part, float(begins[first]), float(begins[last]), float(np.mean(probabilities[first:last])))
        for word, part, first, last in zip(words, parts, ends[:-1], ends[1:], strict=False)
    ]


def place_words(
    segments: Sequence[dict[str, Any]], tokenizer: Tokenizer, align: Callable[[Sequence[int]], list[WordTiming]]
) -> None:
    """Give each segment its `words`, dictionaries of word, start, end (seconds of the window) and probability.

    What alignment gets wrong is mended as in whisper.timing.add_word_timestamps: a sign or a word next to the end of a
    sentence doesn't last through the pause there, and a segment's stamps win over a word that leaves them far behind.
    """
    texts = [[token for token in segment["tokens"] if token < tokenizer.eot] for segment in segments]
    words = align([token for text in texts for token in text])
    usual = min(_USUAL, median([word.end - word.start for word in words if word.end > word.start] or [0.0]))
    for before, word in pairwise(words):
        if word.end - word.start > 2 * usual:
            if word.word in _SENTENCE_ENDS:
                word.end = word.start + 2 * usual
            elif before.word in _SENTENCE_ENDS:
                word.start = word.end - 2 * usual
    words = with_signs(words)
    at = 0
    for segment, text in zip(segments, texts, strict=True):
        own, taken = [], 0
        while at < len(words) and taken < len(text):
            own.append(words[at])
            taken += len(words[at].tokens)
            at += 1
        segment["words"] = [
            {"word": word.word, "start": word.start, "end": word.end, "probability": word.probability} for word in own
        ]
        _keep_within(segment, usual)


def with_signs(words: Sequence[WordTiming]) -> list[WordTiming]:
    """Give each sign to the word that it belongs to (whisper/timing.py, merge_punctuations); words keep their times."""
    opened: list[WordTiming] = []
    for word in reversed(words):
        if opened and word.word.startswith(" ") and word.word.strip() in _BEFORE:
            after = opened[-1]
            opened[-1] = replace(after, word=word.word + after.word, tokens=[*word.tokens, *after.tokens])
        else:
            opened.append(word)
    closed: list[WordTiming] = []
    for word in reversed(opened):
        if closed and word.word in _AFTER and not closed[-1].word.endswith(" "):
            before = closed[-1]
            closed[-1] = replace(before, word=before.word + word.word, tokens=[*before.tokens, *word.tokens])
        else:
            closed.append(word)
    return closed


def _keep_within(segment: dict[str, Any], usual: float) -> None:
    words = segment["words"]
    if not words:
        return
    first, last = words[0], words[-1]
    if first["start"] + _SLACK < segment["start"] < first["end"]:
        first["start"] = max(0.0, min(first["end"] - usual, segment["start"]))
    if last["start"] < segment["end"] < last["end"] - _SLACK:
        last["end"] = max(last["start"] + usual, segment["end"])


def rejoin_first_words(segments: Sequence[Segment]) -> list[Segment]:
    """Bring a sentence's first word to its second, where a pause parts them and it stands at the end of the one before.

    The model hears two sentences as one stretch of sound, from which a pause was cut out: alignment may put a short
    first word before the cut. A word with a sign behind it may stand alone ("Yes. ... We go on.").
    """
    joined: list[Segment] = []
    for one in segments:
        before = joined[-1].words if joined else ()
        if before and len(one.words) > 1 and _is_torn(before[-1], *one.words[:2]):
            first, second = one.words[:2]
            start = round(second.start - min(first.end - first.start, _USUAL / 2), 3)
            word = first.model_copy(update={"start": start, "end": second.start})
            joined.append(one.model_copy(update={"words": (word, *one.words[1:]), "start": start}))
        else:
            joined.append(one)
    return joined


def _is_torn(before: Word, first: Word, second: Word) -> bool:
    is_alone = first.text.strip()[-1:].isalnum() and ends_sentence(before.text.rstrip())
    return is_alone and first.start - before.end < _LEAD and second.start - first.end > _PAUSE


def keep_to_speech(words: Iterable[Word], spoken: Sequence[tuple[float, float]]) -> list[Word]:
    """Move words to where the detector hears speech; all in seconds of the lecture, in order.

    Alignment puts the first word after a pause into the pause, and lets the last one before it last through it.
    """
    begins = [start for start, _ in spoken]
    kept: list[Word] = []
    for word in words:
        moved = _kept_to(word, spoken[slice(*_around(word, begins))])
        if kept and moved.start < kept[-1].start:  # that one was moved behind a pause
            moved = moved.model_copy(update={"start": kept[-1].start, "end": max(moved.end, kept[-1].start)})
        kept.append(moved)
    return kept


def _around(word: Word, begins: Sequence[float]) -> tuple[int, int]:
    return max(bisect_right(begins, word.start) - 1, 0), bisect_right(begins, word.end + _AROUND)


def _kept_to(word: Word, near: Sequence[tuple[float, float]]) -> Word:
    common = [(min(word.end, end) - max(word.start, start), start, end) for start, end in near]
    most, first, last = max(common, default=(0.0, 0.0, 0.0))
    if most > 0:
        start = max(word.start, first - _LEAD)
        return word.model_copy(
            update={"start": round(start, 3), "end": round(max(min(word.end, last + _TAIL), start), 3)}
        )
    following = next((start for start, _ in near if start >= word.end), None)
    if following is not None:
        start = max(following - _LEAD, word.start)
        return word.model_copy(update={"start": round(start, 3), "end": round(start + word.end - word.start, 3)})
    return word
