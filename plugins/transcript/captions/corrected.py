"""A transcript whose text a person has put right: words that were left as they were keep their times."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import groupby, pairwise

from core import Segment, Transcript, Word
from plugins.transcript.captions.cues import Cue
from plugins.transcript.captions.tokens import spread
from plugins.transcript.captions.typography import are_latin, is_spaceless, join, split_words

#: Seconds outside its caption that a word may have been said: where speech is fast, captions lag.
_AROUND = 5.0


def corrected(before: Transcript, cues: Sequence[Cue]) -> Transcript:
    """Return what the captions say now, a segment each; new words share the time between their neighbours."""
    heard = [word for segment in before.segments for word in (segment.words or spread(segment))]
    languages = [cue.language or before.language for cue in cues]
    texts = [_text(cue, language) for cue, language in zip(cues, languages, strict=True)]
    said = [
        (number, word)
        for number, (text, language) in enumerate(zip(texts, languages, strict=True))
        for word in ([] if is_spaceless(language) else split_words(text))
    ]
    blocks = SequenceMatcher(
        None, [_folded(word.text) for word in heard], [_folded(text) for _, text in said], autojunk=False
    ).get_matching_blocks()
    kept = {block.b + at: heard[block.a + at] for block in blocks for at in range(block.size)}
    words: list[list[Word | str]] = [[] for _ in cues]
    for at, (number, text) in enumerate(said):
        one = kept.get(at)
        words[number].append(one.model_copy(update={"text": text}) if one and _is_near(one, cues[number]) else text)
    left = 0
    for number, cue in enumerate(cues):
        if is_spaceless(languages[number]):
            near = [at for at in range(left, len(heard)) if _is_near(heard[at], cue)]
            words[number], used = _by_letters(texts[number], [heard[at] for at in near])
            left = near[used - 1] + 1 if used else left
    segments = tuple(
        _segment(cue, own, text, before.language) for cue, own, text in zip(cues, words, texts, strict=True)
    )
    return before.model_copy(update={"segments": segments, "translations": ()})


def _text(cue: Cue, language: str) -> str:
    """Return a caption's text in one line; languages without spaces have one where two Latin words meet."""
    if not is_spaceless(language):
        return " ".join(cue.lines)
    text = ""
    for line in cue.lines:
        text += " " + line if text and are_latin(text, line) else line
    return text


def _is_near(word: Word, cue: Cue) -> bool:
    return cue.start / 1000 - _AROUND <= word.start and word.end <= cue.end / 1000 + _AROUND


def _by_letters(text: str, heard: Sequence[Word]) -> tuple[list[Word | str], int]:
    """Find the words of a text that no spaces part: those whose letters stand in it side by side.

    Returns the text in pieces, and up to which of the words it has come.
    """
    letters = [(char, at) for at, word in enumerate(heard) for char in _folded(word.text)]
    places = [place for place, char in enumerate(text) if char.isalnum()]
    if not places:
        return [text], 0
    blocks = SequenceMatcher(
        None, [char for char, _ in letters], [text[place].casefold() for place in places], autojunk=False
    ).get_matching_blocks()
    found = {block.a + at: block.b + at for block in blocks for at in range(block.size)}
    begins: dict[int, Word | None] = {0: None}  # by the letter of the text that a piece begins with
    used = 0
    for at, group in groupby(range(len(letters)), key=lambda letter: letters[letter][1]):
        own = [found.get(letter) for letter in group]
        first = own[0]
        if first is not None and own == list(range(first, first + len(own))):
            begins[first] = heard[at]
            begins.setdefault(first + len(own), None)
            used = at + 1
    order = sorted(begin for begin in begins if begin < len(places))
    cuts = [0, *(places[begin] for begin in order[1:]), len(text)]
    pieces: list[Word | str] = []
    for begin, (start, end) in zip(order, pairwise(cuts), strict=True):
        word, piece = begins[begin], text[start:end].strip()
        pieces.append(word.model_copy(update={"text": piece}) if word else piece)
    return pieces, used


def _segment(cue: Cue, words: Sequence[Word | str], said: str, language: str) -> Segment:
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
        text=said if is_spaceless(own) else join([word.text for word in timed], own),
        start=cue.start / 1000,
        end=cue.end / 1000,
        words=tuple(timed),
        language=own if own != language else None,
    )


def _folded(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()
