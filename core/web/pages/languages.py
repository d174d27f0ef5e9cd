"""Which language a page is in, and how its words, numbers and times are written there; Babel knows both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from pathlib import Path

from babel import Locale, dates, numbers
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

from core.model import BUILT_IN
from core.storage.job_state import FINISH

LOCALE = Path(__file__).parent / "locale"

#: What the pages are written in, and what they are translated into, each by its own name.
LANGUAGES: Mapping[str, str] = {"en": "English", "fr": "Français"}

#: Context, in the .po, of sentences that core and the built-in plugins say: reasons and remedies.
REASON = "reason"

#: A job's reason begins with its step, which pages show beside it.
_STEP = re.compile(rf"(?:{'|'.join((*(spec.name for spec in BUILT_IN), FINISH))}): ")

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def choose(cookie: str, accepted: str) -> str:
    """Return the language of the cookie, else the first that the browser accepts (RFC 9110, section 12.5.4)."""
    if cookie in LANGUAGES:
        return cookie
    weighed = sorted(_weights(accepted), key=lambda pair: -pair[1])
    return next((language for language, weight in weighed if weight > 0 and language in LANGUAGES), "en")


def _weights(accepted: str) -> Iterator[tuple[str, float]]:
    for one in accepted.split(","):
        tag, _, weight = one.strip().partition(";q=")
        try:
            yield tag.partition("-")[0].lower(), float(weight or 1)
        except ValueError:
            continue


@cache
def catalog(language: str) -> Catalog:
    """Return what the .po of a language says; it is read as it is, nothing is compiled beforehand."""
    if language == "en":
        return Catalog(locale="en")
    with (LOCALE / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, locale=language)


@cache
def translations(language: str) -> Translations:
    compiled = BytesIO()
    write_mo(compiled, catalog(language))
    compiled.seek(0)
    return Translations(compiled)


class Sentences:
    """Translates what core and plugins say of a failure, as far as the catalogue knows the sentence.

    An entry has placeholders, `{path} is empty`; what stands there (a path, a host, another program's words) is
    carried over as it is.
    """

    def __init__(self, language: str) -> None:
        entries = [one for one in catalog(language) if one.context == REASON and one.string]
        # The longest first: a sentence that another one begins with is the more exact one.
        entries.sort(key=lambda one: -len(_PLACEHOLDER.sub("", str(one.id))))
        self._patterns = [(_pattern(str(one.id)), str(one.string)) for one in entries]

    def translate(self, text: str) -> str:
        """Return a reason, with or without its remedy, in this language; in English where it is not known."""
        text = _STEP.sub("", text, count=1) if _STEP.match(text) else text
        if not self._patterns:
            return text
        # <reason>: <remedy>; a reason alone may hold a colon, and one that ends in another's words takes any.
        cuts = [(text[: found.start()], text[found.end() :]) for found in re.finditer(": ", text)]
        for reason, remedy in cuts:
            ours, cure = self._known(reason), self._known(remedy)
            if ours is not None and cure is not None:
                return f"{ours}\N{NO-BREAK SPACE}: {cure}"
        if (whole := self._known(text)) is not None:
            return whole
        for reason, remedy in cuts:
            if (ours := self._known(reason)) is not None:
                return f"{ours}\N{NO-BREAK SPACE}: {remedy}"
        return text

    def _known(self, text: str) -> str | None:
        for pattern, translation in self._patterns:
            if found := pattern.fullmatch(text):
                values = found.groupdict()
                pieces = _PLACEHOLDER.split(translation)  # every second one is a name
                return "".join(values[piece] if number % 2 else piece for number, piece in enumerate(pieces))
        return None


def _pattern(sentence: str) -> re.Pattern[str]:
    parts = _PLACEHOLDER.split(sentence)
    seen: set[str] = set()
    text = ""
    for number, part in enumerate(parts):
        if number % 2 == 0:
            text += re.escape(part)
        elif part in seen:
            text += f"(?P={part})"
        else:
            seen.add(part)
            text += f"(?P<{part}>.+?)"
    return re.compile(text, re.DOTALL)


class Writer:
    """Writes numbers and times as a language does; the filters of the templates."""

    def __init__(self, language: str) -> None:
        self._locale = Locale(language)

    def number(self, value: float, digits: int = 0) -> str:
        return numbers.format_decimal(round(value, digits), locale=self._locale)

    def percent(self, fraction: float) -> str:
        return numbers.format_percent(int(fraction * 100) / 100, locale=self._locale)

    def speed(self, value: float) -> str:
        """Media seconds a second: 2.2x."""
        return f"{numbers.format_decimal(value, '0.0' if value < 100 else '0', locale=self._locale)}x"

    def size(self, size: float) -> str:
        """Bytes, with the decimal units that file managers use."""
        units = {"en": ("B", "kB", "MB", "GB", "TB"), "fr": ("o", "ko", "Mo", "Go", "To")}[self._locale.language]
        for unit in units[:-1]:
            if size < 999.5:
                return f"{self.number(size, 1 if size < 10 and unit != units[0] else 0)} {unit}"
            size /= 1000
        return f"{self.number(size, 1)} {units[-1]}"

    def ago(self, moment: datetime) -> str:
        """3 min ago; in 2 min."""
        elapsed = moment - datetime.now(UTC)
        return dates.format_timedelta(
            elapsed, granularity="second", threshold=0.999, add_direction=True, format="short", locale=self._locale
        )

    def exact(self, moment: datetime) -> str:
        """With the zone; the browser writes it in its own."""
        return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"

    def long(self, seconds: float) -> str:
        """In one unit: 3 hr."""
        return dates.format_timedelta(round(seconds), threshold=1.2, format="short", locale=self._locale)


def clock(seconds: float) -> str:
    """As a player shows it: 1:40, 1:02:09."""
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
