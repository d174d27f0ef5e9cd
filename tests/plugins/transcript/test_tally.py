"""What is said of the languages that were spoken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from core import Segment
from plugins.transcript.checkpoint import LanguageStretch, Notebook, SavedVote
from plugins.transcript.language import LanguageVerdict, surely
from plugins.transcript.sound.windows import RATE, Window
from plugins.transcript.tally import tally


def notebook(folder: Path, main: str, *votes: tuple[Mapping[str, float], list[tuple[int, str, bool]]]) -> Notebook:
    """Return notes of a lecture in lanes of a window of 20 s: what each votes for, its stretches (end in seconds)."""
    made = Notebook(folder, {})
    lanes = [Window(((20 * at * RATE, 20 * (at + 1) * RATE),)) for at in range(len(votes))]
    made.begin(lanes, None, LanguageVerdict(main))
    made.vote(
        [
            SavedVote(
                lane=at,
                start=0,
                vote=vote,
                stretches=tuple(
                    LanguageStretch(end=end * RATE, language=code, is_sure=sure) for end, code, sure in stretches
                ),
            )
            for at, (vote, stretches) in enumerate(votes)
        ]
    )
    return made


@pytest.mark.parametrize(
    ("vote", "among", "sure"),
    [
        ({"fr": 0.81, "en": 0.19}, None, "fr"),
        ({"fr": 0.59, "en": 0.4, "cy": 0.01}, None, None),
        ({"pl": 0.7, "fr": 0.29, "en": 0.01}, {"fr", "en"}, "fr"),
        ({"fr": 0.2, "pl": 0.18, "ru": 0.17}, {"pl", "ru"}, None),
        ({"fr": 1.0, "pl": 0.0, "ru": 0.0}, {"pl", "ru"}, None),
    ],
)
def test_a_vote_decides_where_it_is_sure(vote: dict[str, float], among: set[str] | None, sure: str | None) -> None:
    assert surely(vote, among) == sure


def test_the_lecture_is_named_after_the_language_with_the_most_seconds(tmp_path: Path) -> None:
    french = ({"fr": 0.9, "en": 0.1}, [(20, "fr", True)])
    both = ({"en": 0.6, "fr": 0.4}, [(15, "en", True), (20, "fr", True)])

    found = tally(notebook(tmp_path, "en", both, french))

    assert found.verdict == LanguageVerdict("fr", 0.9, {"en": 0.1})
    assert found.seconds == {"fr": 25.0, "en": 15.0}
    assert found.others == {"en": [(0.0, 15.0)]}


def test_a_lecture_in_one_language_needs_no_note(tmp_path: Path) -> None:
    assert tally(notebook(tmp_path, "en", ({"en": 0.9, "fr": 0.1}, [(20, "en", True)]))).notes == []


def test_who_is_not_understood_is_asked_to_name_the_language(tmp_path: Path) -> None:
    (note,) = tally(notebook(tmp_path, "pl", ({"pl": 0.28, "ru": 0.17, "fr": 0.06}, [(20, "pl", False)]))).notes

    assert note == (
        "it is not sure which language is spoken: Polish (28%), Russian (17%), French (6%); the captions are in "
        "Polish, name the right one with --language"
    )


def test_what_may_be_in_another_language_is_told(tmp_path: Path) -> None:
    english = ({"en": 0.9, "de": 0.1}, [(20, "en", True)])
    doubtful = ({"de": 0.6, "en": 0.3}, [(20, "en", False)])

    (note,) = tally(notebook(tmp_path, "en", english, english, doubtful)).notes

    assert note == "it is not sure that English is spoken, in which the captions are, for 20.0 s, at 0:00:40 to 0:01:00"


def test_a_segment_s_language_is_in_json_where_it_differs() -> None:
    assert '"language":"fr"' in Segment(text="Oui.", start=0, end=1, language="fr").model_dump_json()
    assert "language" not in Segment(text="Yes.", start=0, end=1).model_dump_json()
