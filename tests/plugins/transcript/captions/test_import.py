"""Captions that a person brings back: read line by line, checked, and joined with what was heard."""

from __future__ import annotations

import pytest

from core import Segment, Transcript, Word
from plugins.transcript.captions.corrected import corrected
from plugins.transcript.captions.cues import Cue
from plugins.transcript.captions.webvtt_file import errors, read, warnings
from plugins.transcript.options import CaptionOptions

TWO = (
    "WEBVTT\n\nNOTE by hand\n\n1\n00:00:01.000 --> 00:00:03.000 line:0\n<i>a &lt; b</i>\n\n00:04.000 --> 00:06.000\nc\n"
)


def test_tags_settings_notes_and_escapes_are_understood() -> None:
    cues, faults = read(TWO)
    assert ([one.cue for one in cues], faults) == ([Cue(1000, 3000, ("a < b",)), Cue(4000, 6000, ("c",))], [])


def test_a_caption_keeps_its_language_and_no_mark_of_direction() -> None:
    cues, _ = read("WEBVTT\n\n00:01.000 --> 00:02.000\n<lang ar>\u200fمرحبا\u200f\nABC</lang>\n")
    assert [one.cue for one in cues] == [Cue(1000, 2000, ("مرحبا", "ABC"), "ar")]

    (segment,) = corrected(Transcript(language="en", segments=()), [cues[0].cue]).segments
    assert (segment.language, segment.text) == ("ar", "مرحبا ABC")


FAULTS = {
    "hello": "line 1: does not begin with WEBVTT",
    TWO.replace("00:04.000 -->", "4 s -->"): "line 9: no times of a caption ('4 s --> 00:06.000')",
    TWO.replace("00:04.000", "00:02.000"): "caption 2, line 9: begins before caption 1 is over",
    TWO.replace("00:04.000", "00:00.500"): "caption 2, line 9: begins before caption 1 does",
    TWO.replace("00:06.000", "00:04.000"): "caption 2, line 9: ends before it begins",
    TWO.replace("04.000", "31.000").replace("06.000", "32.000"): (
        "caption 2, line 9: lies beyond the film's end (30.0 s)"
    ),
}


@pytest.mark.parametrize("text", FAULTS, ids=list(FAULTS.values()))
def test_a_fault_is_named_by_caption_and_line(text: str) -> None:
    cues, faults = read(text)
    assert [*faults, *errors(cues, 30.0)] == [FAULTS[text]]


def test_what_is_hard_to_read_is_a_warning() -> None:
    cues, _ = read(TWO.replace("\nc\n", f"\n{'c' * 41}\n"))
    assert list(warnings(cues, CaptionOptions(), "en")) == [
        "caption 2, line 9: a line has 41 characters, more than 40",
    ]


def test_it_counts_in_characters_of_the_script() -> None:
    cues, _ = read(TWO.replace("\nc\n", f"\n{'熱' * 17}\n"))
    assert list(warnings(cues, CaptionOptions(), "ja")) == [
        "caption 2, line 9: a line has 17 characters, more than 16",
        "caption 2, line 9: 8 characters a second, more than 7",
    ]


def test_words_that_were_left_keep_their_times_and_new_ones_share_what_is_between() -> None:
    said = [("the", 1.0), ("enter", 1.5), ("pea", 2.0), ("grows", 2.5)]
    words = tuple(Word(text=text, start=at, end=at + 0.5, confidence=0.4) for text, at in said)
    before = Transcript(language="en", segments=(Segment(text="", start=1, end=3, words=words),))

    (segment,) = corrected(before, [Cue(1000, 3000, ("The entropy grows.",))]).segments

    assert segment.text == "The entropy grows."
    assert [(word.text, word.start, word.end, word.confidence) for word in segment.words] == [
        ("The", 1.0, 1.5, 0.4),
        ("entropy", 1.5, 2.5, None),
        ("grows.", 2.5, 3.0, 0.4),
    ]
