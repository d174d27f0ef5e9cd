"""Texts made to keep a pattern searching: whoever submits names words, whoever corrects brings captions."""

from __future__ import annotations

import time

import pytest

from core import Segment, Transcript
from plugins.transcript.captions import corrections, webvtt_file

_MANY = 200_000


@pytest.mark.parametrize("said", ["<a" * _MANY, "<lang." * _MANY, "<lang " * _MANY, "<lang" + " " * _MANY])
def test_tags_without_an_end_are_read_at_once(said: str) -> None:
    begun = time.monotonic()
    webvtt_file.read(f"WEBVTT\n\n00:00.000 --> 00:01.000\n{said}\n")
    assert time.monotonic() - begun < 2


def test_a_wrong_word_of_punctuation_alone_is_looked_up_at_once() -> None:
    heard = Transcript(language="en", segments=(Segment(start=0, end=1, text="Hello (world)."),))
    begun = time.monotonic()
    right = corrections.correct(heard, {"a" + "(" * _MANY + "a": "x", "world": "lecture", "«»": "x"})
    assert time.monotonic() - begun < 2
    assert right.segments[0].text == "Hello (lecture)."


def test_a_time_of_five_thousand_digits_is_a_fault_on_its_line() -> None:
    _, faults = webvtt_file.read(f"WEBVTT\n\n{'9' * 5000}:00:00.000 --> 00:01.000\nx\n")
    assert "line 3: no times of a caption" in faults[0]
