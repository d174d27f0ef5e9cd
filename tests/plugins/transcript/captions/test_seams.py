"""A capital that only a seam has made is no sentence's beginning."""

from __future__ import annotations

import pytest

from core import Segment, Transcript, Word
from plugins.transcript.captions.seams import lowered

#: What else is said: how a recording writes its words.
ELSEWHERE = "Here an invention is new, and Einstein wrote of the NASA process. So I think, may we ask May."


def said(*texts: str, language: str = "en", pause: float = 0.1, foreign: str | None = None) -> Transcript:
    """Say each text in two seconds; the last one in another language, if there is one."""
    segments = []
    for number, text in enumerate(texts):
        start = number * (2 + pause)
        own = foreign if foreign and number == len(texts) - 1 else None
        words = tuple(Word(text=word, start=start, end=start + 1) for word in text.split())
        segments.append(Segment(text=text, start=start, end=start + 2, words=words, language=own))
    return Transcript(language=language, segments=tuple(segments))


@pytest.mark.parametrize(
    ("one", "other", "language"),
    [
        ("a process,", "The invention", "en"),
        ("a process", "Invention is", "en"),
        ("un procédé,", "L'Europe invente", "fr"),
        ("un procédé,", "Une invention", "fr-CA"),
    ],
)
def test_a_capital_in_mid_sentence_is_lowered_in_text_and_words(one: str, other: str, language: str) -> None:
    segment = lowered(said(ELSEWHERE, one, other, language=language)).segments[2]

    assert segment.text == other[0].lower() + other[1:]
    assert segment.words[0].text == segment.text.split()[0]


@pytest.mark.parametrize(
    ("one", "other", "language"),
    [
        ("a process.", "The invention", "en"),
        ("a process:", "The invention", "en"),
        ("a process —", "The invention", "en"),
        ("a process,", "Einstein said", "en"),
        ("a process,", "I'm sure", "en"),
        ("a process,", "NASA said", "en"),
        ("a process,", "McDonald said", "en"),
        ("a process,", "Heisenberg said", "en"),
        ("ein Prozess,", "Die Erfindung", "de"),
    ],
)
def test_sentences_names_and_nouns_keep_theirs(one: str, other: str, language: str) -> None:
    heard = said(ELSEWHERE, one, other, language=language)

    assert lowered(heard) == heard


def test_a_pause_without_a_sign_may_end_a_sentence() -> None:
    heard = said(ELSEWHERE, "a process", "The invention", pause=1.0)

    assert lowered(heard) == heard


def test_where_nobody_sets_signs_capitals_tell_sentences_apart() -> None:
    heard = said("of the process we speak", "The invention")

    assert lowered(heard) == heard


def test_another_language_begins_as_it_was_heard() -> None:
    heard = said(ELSEWHERE, "a process,", "The invention", language="fr", foreign="en")

    assert lowered(heard) == heard


def test_turkish_has_two_letters_i() -> None:
    heard = said("Bir yeni ılık su.", "bir su,", "Ilık olan", language="tr")

    assert lowered(heard).segments[2].text == "ılık olan"
