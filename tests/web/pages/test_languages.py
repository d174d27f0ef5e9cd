"""French says all that English says, and what it says of failures is what core and the plugins say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from babel.messages.extract import extract

from core.model import now
from core.web.pages import languages
from core.web.pages.languages import REASON, Sentences, Writer

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "core/web/pages"
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2)}
FRENCH = languages.catalog("fr")


def said() -> Iterator[object]:
    """Yield all that the pages say, as one string or as singular and plural."""
    options = {"trimmed": "true", "newstyle_gettext": "true", "trim_blocks": "true", "lstrip_blocks": "true"}
    for pattern, method in (("templates/*.html", "jinja2.ext:babel_extract"), ("*.py", "python")):
        for path in PAGES.glob(pattern):
            with path.open("rb") as file:
                found = extract(method, file, keywords=KEYWORDS, options=options)
                yield from (message for _, message, _, _ in found)


@cache
def code() -> str:
    """All of core and the plugins, with strings that go on on the next line as one."""
    files = (path for top in ("core", "plugins") for path in (ROOT / top).rglob("*.py"))
    return re.sub(r'"\s*\n?\s*f?"', "", "".join(path.read_text(encoding="utf-8") for path in files))


def test_everything_that_pages_say_is_translated_and_nothing_else() -> None:
    translated = {message.id for message in FRENCH if message.id and message.context is None and message.string}
    assert translated == set(said())


def test_translations_keep_the_placeholders() -> None:
    for message in FRENCH:
        if message.id and message.context == REASON:
            assert re.findall(r"{\w+}", str(message.string)) == re.findall(r"{\w+}", str(message.id)), message.id
        else:
            assert not list(message.check(FRENCH)), message.id


@pytest.mark.parametrize("sentence", [str(one.id) for one in FRENCH if one.context == REASON])
def test_a_translated_reason_is_one_that_somebody_gives(sentence: str) -> None:
    assert max(re.split(r"{\w+}", sentence), key=len).strip("`() :,;.") in code()


@pytest.mark.parametrize(
    ("reason", "french"),
    [
        ("/a: b.mp4 is empty: upload it again", "/a: b.mp4 est vide\xa0: déposez-le à nouveau"),
        ("encode: /a.mp4 does not exist", "/a.mp4 n’existe pas"),
        ("/a.mp4 is empty: ask the weaver", "/a.mp4 est vide\xa0: ask the weaver"),
        ("the loom is jammed: upload it again", "the loom is jammed: upload it again"),
        (
            "/a.mp4 was cut off: it ends at second 10.8 of 61.6: upload it again, whole",
            "/a.mp4 est tronqué\xa0: il s’arrête à la seconde 10.8 sur 61.6\xa0: déposez-le à nouveau, entier",
        ),
        ("redis://q:6379 does not answer (refused)", "redis://q:6379 ne répond pas (refused)"),
    ],
)
def test_a_reason_is_translated_with_its_remedy_and_names_stay(reason: str, french: str) -> None:
    assert Sentences("fr").translate(reason) == french


def test_english_only_leaves_out_the_step_which_is_shown_beside() -> None:
    assert Sentences("en").translate("encode: a.mp4 is empty") == "a.mp4 is empty"


@pytest.mark.parametrize(
    ("cookie", "accepted", "language"),
    [
        ("", "", "en"),
        ("", "fr", "fr"),
        ("", "de, fr-CA;q=0.7, en;q=0.8", "en"),
        ("", "fr;q=0, en;q=0.1", "en"),
        ("", "fr;q=much", "en"),
        ("fr", "en", "fr"),
        ("klingon", "fr", "fr"),
    ],
)
def test_the_language_is_the_cookies_else_what_the_browser_likes_best(
    cookie: str, accepted: str, language: str
) -> None:
    assert languages.choose(cookie, accepted) == language


def test_numbers_and_times_are_written_as_the_language_does() -> None:
    english, french = Writer("en"), Writer("fr")
    assert [english.percent(0.6399), french.percent(0.6399)] == ["63%", "63\xa0%"]
    assert [english.speed(2.23), french.speed(2.23)] == ["2.2x", "2,2x"]
    assert [english.size(1234), french.size(45_600_000)] == ["1.2 kB", "46 Mo"]
    moment = now() - timedelta(minutes=3, seconds=5)
    assert [english.ago(moment), french.ago(moment)] == ["3 min. ago", "il y a 3\xa0min"]
    assert [languages.clock(100), languages.clock(3729)] == ["1:40", "1:02:09"]
