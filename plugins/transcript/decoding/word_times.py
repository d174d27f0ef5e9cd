"""Words of a window placed in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from whisper.timing import merge_punctuations

if TYPE_CHECKING:
    from whisper.timing import WordTiming
    from whisper.tokenizer import Tokenizer

#: Signs that belong to the word after and to the one before them (whisper/transcribe.py).
_BEFORE, _AFTER = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"

_SENTENCE_ENDS = ".。!！?？"

#: Seconds of a usual word at most, if the window's words say more (whisper/timing.py).
_USUAL = 0.7

#: Seconds by which a word may differ from its segment's own stamps.
_SLACK = 0.5


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
    merge_punctuations(words, _BEFORE, _AFTER)
    at = 0
    for segment, text in zip(segments, texts, strict=True):
        own, taken = [], 0
        while at < len(words) and taken < len(text):
            own.append(words[at])
            taken += len(words[at].tokens)
            at += 1
        segment["words"] = [
            {"word": word.word, "start": word.start, "end": word.end, "probability": word.probability}
            for word in own
            if word.word
        ]
        _keep_within(segment, usual)


def _keep_within(segment: dict[str, Any], usual: float) -> None:
    words = segment["words"]
    if not words:
        return
    first, last = words[0], words[-1]
    if first["start"] + _SLACK < segment["start"] < first["end"]:
        first["start"] = max(0.0, min(first["end"] - usual, segment["start"]))
    if last["start"] < segment["end"] < last["end"] - _SLACK:
        last["end"] = max(last["start"] + usual, segment["end"])
