"""Right-to-left lines keep their order, whatever they begin or end with."""

from __future__ import annotations

import pytest

from plugins.transcript.captions.direction import for_subrip, for_webvtt


@pytest.mark.parametrize(
    ("line", "language", "marked"),
    [
        ("HTML هي لغة.", "ar", "\u200fHTML هي لغة."),
        ("2024!", "he", "\u200f2024!"),
        ("« שלום", "he", "« שלום"),
        ("שלום is hello", "en", "\u200eשלום is hello"),
        ("Hello", "en", "Hello"),
    ],
)
def test_webvtt_takes_a_lines_direction_from_its_first_strong_character(line: str, language: str, marked: str) -> None:
    assert for_webvtt(line, language) == marked


def test_a_subrip_line_of_one_direction_has_marks_at_its_ends() -> None:
    assert for_subrip("سلام!", "fa") == "\u200fسلام!\u200f"


def test_a_subrip_line_with_latin_words_is_isolated() -> None:
    assert for_subrip("HTML زبان است.", "fa") == "\u200f\u2067HTML زبان است.\u2069\u200f"
