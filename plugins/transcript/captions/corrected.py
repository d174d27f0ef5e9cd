"""A transcript whose text a person has put right: words that were left as they were keep their times."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from core import Segment, Transcript, Word
from plugins.transcript.captions.cues import Cue
from plugins.transcript.captions.tokens import spread
from plugins.transcript.captions.typography import join, split_words

#: Seconds outside its caption that a word may have been said: where speech is fast, captions lag.
_AROUND = 5.0


def corrected(before: Transcript, cues: Sequence[Cue]) -> Transcript:
    """Return what the captions say now, a segment each; new words share the time between their neighbours."""
    heard = [word for segment in before.segments for word in (segment.words or spread(segment))]
    said = [(number, text) for number, cue in enumerate(cues) for text in split_words(" ".join(cue.lines))]
    blocks = SequenceMatcher(
        None, [_folded(word.text) for word in heard], [_folded(text) for _, text in said], autojunk=False
    ).get_matching_blocks()
    kept = {block.b + at: heard[block.a + at] for block in blocks for at in range(block.size)}
    words: list[list[Word | str]] = [[] for _ in cues]
    for at, (number, text) in enumerate(said):
        one, cue = kept.get(at), cues[number]
        is_near = one and cue.start / 1000 - _AROUND <= one.start and one.end <= cue.end / 1000 + _AROUND
        words[number].append(one.model_copy(update={"text": text}) if one and is_near else text)
    segments = tuple(_segment(cue, own, before.language) for cue, own in zip(cues, words, strict=True))
    return before.model_copy(update={"segments": segments, "translations": ()})


def _segment(cue: Cue, words: Sequence[Word | str], language: str) -> Segment:
    timed: list[Word] = []
    at = 0
    while at < len(words):
        one = words[at]
        if isinstance(one, Word):
            timed.append(one)
            at += 1
            continue
        following = next((later for later in range(at, len(words)) if isinstance(words[later], Word)), len(words))
        after = words[following] if following < len(words) else None
        start = timed[-1].end if timed else cue.start / 1000
        end = max(after.start if isinstance(after, Word) else cue.end / 1000, start)
        text = " ".join(str(word) for word in words[at:following])
        timed += spread(Segment(text=text, start=start, end=end))
        at = following
    own = cue.language or language
    return Segment(
        text=join([word.text for word in timed], own),
        start=cue.start / 1000,
        end=cue.end / 1000,
        words=tuple(timed),
        language=own if own != language else None,
    )


def _folded(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()
