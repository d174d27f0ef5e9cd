"""Words as they are set on a line: punctuation that clings to its word, widths, languages without spaces."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from core import Word

#: Written without spaces between words (whisper's tokenizer splits them by character).
SPACELESS = frozenset({"zh", "ja", "th", "lo", "my", "yue"})

NO_BREAK_SPACE = "\u00a0"
NARROW_NO_BREAK_SPACE = "\u202f"

#: What French sets before a sign, by the rules of the Imprimerie nationale.
_FRENCH_SPACES = {
    **dict.fromkeys("?!;", NARROW_NO_BREAK_SPACE),
    **dict.fromkeys(":»%€", NO_BREAK_SPACE),
}

#: What closes or opens although its general category doesn't say so; elsewhere the category does (Pe, Pf; Ps, Pi).
_CLOSING = frozenset(".,;:!?%‰€°…\"'。、，！？：；؟،؛۔।॥၊။។ๆー々・")
_OPENING = frozenset("¿¡")

#: German closes with what English opens with.
_GERMAN_CLOSING = frozenset("“‘")

_DASHES = frozenset("-‐–—")
_ELIDED = re.compile(r"(?:[cdjlmnst]|qu|jusqu|lorsqu|presqu|puisqu|quoiqu|aujourd)['’]", re.IGNORECASE)
_LATIN = re.compile(r"[A-Za-z0-9À-ɏ]")
_BREAKING_SPACE = re.compile(r"[^\S\u00a0\u202f]+")


def split_words(text: str) -> list[str]:
    """Split at spaces that allow a break; control characters and lone surrogates are dropped."""
    visible = "".join(" " if char.isspace() and char not in "\u00a0\u202f" else char for char in text)
    visible = "".join(char for char in visible if unicodedata.category(char) not in ("Cc", "Cs"))
    return [word for word in _BREAKING_SPACE.split(visible) if word.strip()]


def is_spaceless(language: str) -> bool:
    return language.lower().partition("-")[0] in SPACELESS


def clings(sign: str, language: str = "") -> bool:
    """Tell whether this is punctuation that belongs to the word before it."""
    also = _GERMAN_CLOSING if _is(language, "de") else frozenset()
    return bool(sign) and all(
        char in also or char in _CLOSING or unicodedata.category(char) in ("Pe", "Pf") for char in sign
    )


def opens(sign: str, language: str = "") -> bool:
    """Tell whether this is punctuation that belongs to the word after it."""
    if not sign or clings(sign, language):
        return False
    return all(char in _OPENING or unicodedata.category(char) in ("Ps", "Pi") for char in sign)


def is_dash(sign: str) -> bool:
    return sign in _DASHES


def elided(word: str, language: str) -> bool:
    """Tell whether French sets the next word behind this one without a space ("l'", "qu'")."""
    return _is(language, "fr") and _ELIDED.fullmatch(word) is not None


def _is(language: str, primary: str) -> bool:
    return language == primary or language.startswith(primary + "-")


def attach(word: str, sign: str, language: str) -> str:
    """Set a closing sign after a word, as the language does."""
    return word + (_FRENCH_SPACES.get(sign[0], "") if _is(language, "fr") else "") + sign


def precede(sign: str, word: str, language: str) -> str:
    """Set an opening sign, a dash or an elided word before a word, as the language does."""
    guillemet = _is(language, "fr") and sign.endswith("«")
    return sign + (NO_BREAK_SPACE if guillemet or sign[-1:] in _DASHES else "") + word


def width(text: str) -> int:
    """Count columns: wide characters of East Asia take two, combining marks none."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def are_latin(before: str, after: str) -> bool:
    """Tell whether a Latin letter or a digit stands on both sides of where two texts meet."""
    return bool(_LATIN.match(before[-1:]) and _LATIN.match(after[:1]))


def whole_words(parts: Iterable[Word], language: str) -> list[Word]:
    """Join what whisper's tokenizer takes apart (" m", "'appelle"): there, a leading space says that a word begins.

    In languages without spaces that holds for foreign words ("Go", "ogle").
    """
    words: list[Word] = []
    for part in parts:
        last = words[-1] if words else None
        if last and not part.text.startswith(" ") and (not is_spaceless(language) or are_latin(last.text, part.text)):
            sure = [one.confidence for one in (last, part) if one.confidence is not None]
            words[-1] = Word(
                text=last.text + part.text.rstrip(),
                start=last.start,
                end=max(last.end, part.end),
                confidence=min(sure, default=None),
            )
        else:
            words.append(part.model_copy(update={"text": part.text.strip()}))
    return [word for word in words if word.text]


def join(words: Sequence[str], language: str) -> str:
    return ("" if is_spaceless(language) else " ").join(words)
