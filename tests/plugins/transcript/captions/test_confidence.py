"""What an engine was not sure of is counted, said and marked; one that says nothing of it is not doubted."""

from __future__ import annotations

import pytest

from core import Segment, Transcript, Word
from plugins.transcript.captions import confidence
from plugins.transcript.captions.cues import build_cues
from plugins.transcript.options import CaptionOptions


def heard(*words: tuple[str, float | None]) -> Transcript:
    said = tuple(Word(text=text, start=at, end=at + 0.9, confidence=sure) for at, (text, sure) in enumerate(words))
    text = " ".join(word.text for word in said)
    return Transcript(language="fr", segments=(Segment(text=text, start=0, end=len(said), words=said),))


UNSURE = heard(("Voici", 0.9), ("l'entropie", 0.3), ("!", 0.6))


def test_facts_have_the_mean_and_the_share_of_uncertain_words() -> None:
    assert confidence.facts(UNSURE) == {"word_confidence": 0.6, "words_uncertain": 0.333}


def test_an_engine_without_confidences_has_neither() -> None:
    silent = heard(("Voici", None))
    assert (confidence.facts(silent), confidence.notes(silent)) == ({}, ())
    assert confidence.marked(silent, 0.5) == silent


def test_many_uncertain_words_are_noted_with_the_remedy() -> None:
    (note,) = confidence.notes(UNSURE)
    assert note.startswith("33% of the words in `fr` are uncertain: a larger model or a glossary may help")


@pytest.mark.parametrize(("bar", "found"), [(0.5, True), (0.3, None)])
def test_a_segment_is_doubtful_by_its_least_word(bar: float, found: bool | None) -> None:
    (segment,) = confidence.marked(UNSURE, bar).segments
    assert (segment.doubtful, segment.confidence) == (found, 0.3 if found else None)


def test_a_caption_s_doubtful_words_are_whole_whatever_spaces_its_language_sets() -> None:
    cues = build_cues(UNSURE.segments, "fr", CaptionOptions())
    (one,) = confidence.heard(UNSURE, cues, 0.5)
    assert "".join(run.text for run in one.runs) == "\n".join(one.cue.lines)
    assert [run.text for run in one.runs if run.doubtful] == ["l'entropie"]
