"""Names are found in time that grows with the text, whatever the text is."""

from __future__ import annotations

import time

import pytest

from plugins.xapi.anonymize import Scheme, anonymised
from plugins.xapi.personal_data import Names

SCHEME = Scheme(b"a secret", "account", "https://pseudonym.invalid")

#: What a pattern could go back over, or try anew from each place.
REPEATED = ("a", "@", "%40", "a@", "a.", "a:", "::", "1.1.1.1 ", "mailto:", "Ada ", "/", "(", "_")


def seconds(said: str, size: int) -> float:
    """Time the anonymising of one statement that says it in every place, names and keys of extensions included."""
    text = (said * size)[:size]
    statement = {
        "actor": {
            "objectType": "Group",
            "member": [{"name": f"{text[:5]}{number} Min"} for number in range(size // 50)],
        },
        "object": {"id": f"https://pod.fr/{text}"},
        "context": {"instructor": {"name": text}},
        "result": {"response": text, "extensions": {text: {text: text}}},
    }
    begin = time.process_time()
    anonymised(statement, SCHEME)
    return time.process_time() - begin


@pytest.mark.parametrize("said", REPEATED)
def test_eight_times_the_text_takes_no_more_than_some_ten_times_as_long(said: str) -> None:
    """What goes back over the text takes 64 times as long."""
    small, large = (min(seconds(said, size) for _ in range(5)) for size in (2_000, 16_000))
    assert large < 40 * max(small, 0.002)


def test_a_text_of_60_kb_without_a_separator_costs_nothing_to_speak_of() -> None:
    begin = time.process_time()
    assert Names(["Ada Min"]).redact("a" * 60_000) == "a" * 60_000
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ("names", "said", "left"),
    [
        (["Ada", "Ada Min"], "Ada, Ada Min and ada min", "redacted, redacted and redacted"),
        (["Ada Min", "Min Ada"], "Ada Min Ada", "redacted"),
        (["Ada Min Od", "Min"], "Ada Min Oh", "Ada redacted Oh"),
        (["MAILTO:Ada.Min@univ.fr"], "ask ada.min", "ask redacted"),
        (["(Ada)"], "Ada (Ada)", "redacted (redacted)"),
        (["...", "Al"], "Al said ...", "Al said ..."),
        (["École d'été"], "école%20d%27%C3%A9t%C3%A9 or École d'été", "redacted or redacted"),
        (["D'Été Ada"], "?q=D%27%C3%89t%C3%A9%20Ada", "?q=redacted"),
        ([], "a@b@ @c d@ e@f?g@h mailto:i@j", "redacted@ @c d@ redacted redacted"),
    ],
)
def test_what_is_found(names: list[str], said: str, left: str) -> None:
    assert Names(names).redact(said) == left
