"""Words stand where the detector hears speech, whatever alignment says."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisper import timing

from core import Segment, Word
from plugins.transcript.decoding.model import WordTiming
from plugins.transcript.decoding.word_times import keep_to_speech, rejoin_first_words, with_signs

SPOKEN = [(10.0, 12.0), (15.0, 18.0)]


@pytest.mark.parametrize(
    ("placed", "kept"),
    [
        ((10.5, 11.0), (10.5, 11.0)),
        ((9.2, 10.4), (9.95, 10.4)),  # the first word after a pause begins in the pause
        ((11.6, 13.4), (11.6, 12.2)),  # the last one before it lasts through it
        ((11.9, 15.9), (14.95, 15.9)),  # across a pause: where most of it is
        ((14.2, 14.6), (14.95, 15.35)),  # all of it just before the speech
        ((12.5, 12.9), (12.5, 12.9)),  # behind it: the detector may have stopped early
    ],
)
def test_a_word_is_moved_to_its_speech(placed: tuple[float, float], kept: tuple[float, float]) -> None:
    (word,) = keep_to_speech([Word(text="word", start=placed[0], end=placed[1])], SPOKEN)

    assert (word.start, word.end) == pytest.approx(kept)


def test_without_a_detector_words_stay() -> None:
    words = [Word(text="word", start=1, end=2)]
    assert keep_to_speech(words, []) == words


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 6)), max_size=20))
def test_times_never_go_back(placed: list[tuple[float, float]]) -> None:
    words = [Word(text="word", start=start, end=start + lasts) for start, lasts in sorted(placed)]

    kept = keep_to_speech(words, SPOKEN)

    assert len(kept) == len(words)
    assert all(word.start <= word.end for word in kept)
    assert all(one.start <= other.start for one, other in pairwise(kept))


def spoken(*words: tuple[str, float, float]) -> Segment:
    parts = tuple(Word(text=text, start=start, end=end) for text, start, end in words)
    return Segment(text="".join(word.text for word in parts), start=parts[0].start, end=parts[-1].end, words=parts)


@pytest.mark.parametrize(
    ("last", "first", "starts"),
    [
        (" times.", " The", 17.65),
        (" times.", " Yes.", 10.0),  # may stand alone
        (" in the", " The", 10.0),  # no sentence ends there
    ],
)
def test_a_first_word_is_not_left_behind_by_its_sentence(last: str, first: str, starts: float) -> None:
    before = spoken((last, 9.5, 10.0))
    _, sentence = rejoin_first_words([before, spoken((first, 10.0, 10.4), (" northern", 18.0, 18.5))])

    assert (sentence.start, sentence.words[0].start) == (starts, starts)
    assert sentence.words[0].end <= sentence.words[1].start == 18.0


SIGNS = st.sampled_from([" one", " two", "-three", ",", ".", '"', ' "', " (", ")", " «", "»", " ", "!"])


@given(st.lists(SIGNS, max_size=12))
def test_signs_go_to_the_words_that_whisper_gives_them_to(texts: list[str]) -> None:
    own = [WordTiming(text, [at], at, at + 1, 0.5) for at, text in enumerate(texts)]
    others = [timing.WordTiming(text, [at], at, at + 1, 0.5) for at, text in enumerate(texts)]
    timing.merge_punctuations(others, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、")

    assert [(word.word, word.tokens, word.start) for word in with_signs(own)] == [
        (word.word, word.tokens, word.start) for word in others if word.tokens
    ]
