"""Captions that a person brings back: read line by line, checked, and joined with what was heard."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import Segment, Transcript, Word
from plugins.transcript.captions.corrected import corrected
from plugins.transcript.captions.cues import Cue, build_cues
from plugins.transcript.captions.formats import webvtt
from plugins.transcript.captions.reading import scaled
from plugins.transcript.captions.typography import width
from plugins.transcript.captions.webvtt_file import errors, read, warnings
from plugins.transcript.options import CaptionOptions

RULES = CaptionOptions()
TWO = (
    "WEBVTT\n\nNOTE by hand\n\n1\n00:00:01.000 --> 00:00:03.000 line:0\n<i>a &lt; b</i>\n\n00:04.000 --> 00:06.000\nc\n"
)


def test_tags_settings_notes_and_escapes_are_understood() -> None:
    cues, faults = read(TWO)
    assert ([one.cue for one in cues], faults) == ([Cue(1000, 3000, ("a < b",)), Cue(4000, 6000, ("c",))], [])


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        ("WEBVTT\n00:01.000 --> 00:02.000\na\n", [Cue(1000, 2000, ("a",))]),
        ("WEBVTT by me\nKind: captions\n\nNOTE\n0:00:01.000-->0:00:02.000\na\n", [Cue(1000, 2000, ("a",))]),
        (
            "WEBVTT\n\n00:01.000 --> 00:02.000\na\n00:03.000 --> 00:04.000\nb\n",
            [Cue(1000, 2000, ("a",)), Cue(3000, 4000, ("b",))],
        ),
        (
            "WEBVTT\n\n00:01.000 --> 00:02.000\n<lang fr>oui</lang>, <lang de>ja</lang>\u2028ok\n",
            [Cue(1000, 2000, ("oui, ja\u2028ok",))],
        ),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\n" + "<a" * 9999, [Cue(1000, 2000, ("<a" * 9999,))]),
    ],
    ids=["no empty line", "as players read it", "arrow in a text", "two languages", "no tag"],
)
def test_what_players_show_is_read(text: str, cues: list[Cue]) -> None:
    found, faults = read(text)
    assert ([one.cue for one in found], faults) == (cues, [])


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


def test_so_do_they_in_languages_without_spaces() -> None:
    said = [
        ("熱", 1.0),
        ("は", 1.2),
        ("高", 1.4),
        ("音", 1.6),
        ("から", 1.8),
        ("Deep", 2.4),
        ("Learning", 2.8),
        ("へ", 3.4),
    ]
    words = tuple(Word(text=text, start=at, end=at + 0.2, confidence=0.4) for text, at in said)
    before = Transcript(language="ja", segments=(Segment(text="", start=1, end=4, words=words),))

    (segment,) = corrected(before, [Cue(1000, 4000, ("「熱は高温から、", "Deep Learningへ。"))]).segments

    assert segment.text == "「熱は高温から、Deep Learningへ。"
    assert [(word.text, word.start, word.confidence) for word in segment.words] == [
        ("「熱", 1.0, 0.4),
        ("は", 1.2, 0.4),
        ("高", 1.4, 0.4),
        ("温", pytest.approx(1.6), None),
        ("から、", 1.8, 0.4),
        ("Deep", 2.4, 0.4),
        ("Learning", 2.8, 0.4),
        ("へ。", 3.4, 0.4),
    ]


#: What a person may type, and a lecture of it: milliseconds that a caption stays and that pass before it.
LINES = st.text(st.characters(exclude_characters="\r\n"), max_size=60) | st.sampled_from(
    ["熱は高温の物体から低温の物体へ流れる。" * 4, "مرحبا " * 20, "a" * 200, "--> <b>&", "👩‍🔬" * 30]
)
TYPED = st.lists(st.tuples(st.integers(0, 9000), st.integers(40, 9000), LINES), min_size=1, max_size=8)
HEARD = st.lists(
    st.builds(Word, text=LINES, start=st.floats(allow_nan=True), end=st.floats(-10, 200), confidence=st.none()),
    max_size=8,
)


@settings(deadline=None, max_examples=15)
@given(TYPED, HEARD, st.sampled_from(["en", "ja", "ar", "th"]), st.integers(0, 9999))
def test_what_is_cut_anew_keeps_to_the_rules_and_the_film(
    typed: list[tuple[int, int, str]], heard: list[Word], language: str, left: int
) -> None:
    clock, cues = 0, []
    for pause, stay, text in typed:
        cues.append(Cue(clock + pause, clock + pause + stay, (text,)))
        clock += pause + stay
    film = max((clock - left) / 1000, cues[-1].start / 1000 + 0.001)
    before = Transcript(language=language, segments=(Segment(text="", start=0, end=film, words=tuple(heard)),))
    brought, faults = read(webvtt(before, cues))
    assert faults == []
    said = [one.cue for one in brought if one.cue.lines]
    assert [fault for fault in errors(brought, film) if "has no text" not in fault] == []

    made = build_cues(corrected(before, said).segments, language, RULES, film)

    rules = scaled(RULES, language)
    assert all(len(cue.lines) <= 2 and max(map(width, cue.lines)) <= rules.line_length for cue in made)
    assert all(0 <= cue.start < cue.end <= film * 1000 for cue in made)
    assert all(one.end <= other.start for one, other in pairwise(made))
    shown = "".join("".join(cue.lines) for cue in made)
    assert letters(shown) == letters("".join("".join(cue.lines) for cue in said)), "a letter is lost, or out of order"


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))
