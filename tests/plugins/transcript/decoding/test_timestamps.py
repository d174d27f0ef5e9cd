"""Whisper's rule of where to go on, on tokens as its decoder writes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisper.tokenizer import Tokenizer, get_tokenizer

from plugins.transcript.decoding.timestamps import STEP, WindowReading, read

Read = Callable[..., WindowReading]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return get_tokenizer(True, language="en")


def tokens(tokenizer: Tokenizer, *written: float | str) -> list[int]:
    """Return what the decoder writes: numbers are time stamps."""
    found: list[int] = []
    for one in written:
        found += tokenizer.encode(one) if isinstance(one, str) else [tokenizer.timestamp_begin + round(one / 0.02)]
    return found


@pytest.fixture(scope="module")
def read_window(tokenizer: Tokenizer) -> Read:
    return lambda *written, seconds=30.0: read(tokens(tokenizer, *written), tokenizer, seconds)


def said(reading: WindowReading) -> list[tuple[str, float, float]]:
    return [(one["text"].strip(), round(one["start"], 2), round(one["end"], 2)) for one in reading.segments]


def test_a_lone_stamp_at_the_end_says_that_nobody_speaks_after_it(read_window: Read) -> None:
    heard = read_window(0.0, " One.", 4.0, 5.0, " Two.", 9.5)

    assert said(heard) == [("One.", 0, 4), ("Two.", 5, 9.5)]
    assert heard.heard == 30
    assert heard.silent == pytest.approx(9.5)


def test_two_stamps_at_the_end_say_that_the_rest_is_to_be_heard_again(read_window: Read) -> None:
    heard = read_window(0.0, " One.", 4.0, 4.0, " Two.", 24.0, 24.0)

    assert said(heard) == [("One.", 0, 4), ("Two.", 4, 24)]
    assert heard.heard == 24


def test_text_that_no_stamp_ends_is_heard_again_from_the_last_two_that_meet(
    read_window: Read, tokenizer: Tokenizer
) -> None:
    heard = read_window(0.0, " One.", 4.0, 5.0, " Two was cut")

    assert said(heard) == [("One.", 0, 4)]
    assert heard.heard == 4
    assert heard.tokens == tokens(tokenizer, 0.0, " One.", 4.0), (
        "the next window is shown no text that counts for nothing"
    )


def test_of_a_sentence_that_was_cut_all_is_heard_again_where_its_rest_is_short(read_window: Read) -> None:
    cut = 0.0, " One.", 4.0, 4.0, " the chemical", 28.0, 28.0

    assert (read_window(*cut).heard, read_window(*cut).again) == (28, 4)
    assert read_window(*cut[:-3], " Two.", 28.0, 28.0).again is None, "the sentence has ended"
    assert read_window(*cut, seconds=28.5).again == 4


def test_a_sentence_that_begins_where_the_sound_ends_was_not_said(read_window: Read) -> None:
    assert said(read_window(0.0, " One.", 4.0, 29.95, " Thank you.", 30.0)) == [("One.", 0, 4)]


@pytest.mark.parametrize("written", [(0.0, " No stamp ends this"), (" Nor this",), ()])
def test_where_no_two_stamps_meet_the_last_word_has_to_tell(
    written: tuple[float | str, ...], read_window: Read
) -> None:
    heard = read_window(*written)

    assert heard.heard is None
    assert len(heard.segments) == min(len(written), 1)


def test_what_would_lead_nowhere_is_taken_as_it_is(read_window: Read) -> None:
    heard = read_window(0.0, " One.", STEP - 0.02, STEP - 0.02, " Two was cut")

    assert said(heard) == [("One.", 0, 0.98), ("Two was cut", 0.98, 30)]
    assert heard.heard is None


@given(st.lists(st.one_of(st.floats(0, 30), st.sampled_from([" one", " two.", " "])), max_size=12), st.floats(0.1, 30))
def test_whatever_is_written_it_leads_on_and_stays_in_the_window(
    tokenizer: Tokenizer, written: list[float | str], seconds: float
) -> None:
    heard = read(tokens(tokenizer, *written), tokenizer, seconds)

    assert heard.heard is None or min(STEP, seconds) <= heard.heard <= seconds
    assert all(0 <= one["start"] <= one["end"] <= seconds and one["text"].strip() for one in heard.segments)
