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

_CLOSING = re.compile(r"""[.,;:!?%€…»”’'")\]}、。，！？：]+""")
_OPENING = re.compile(r"[«“‘(\[{¿¡]+")
_BREAKING_SPACE = re.compile(r"[^\S\u00a0\u202f]+")


def split_words(text: str) -> list[str]:
    """Split at spaces that allow a break; control characters and lone surrogates are dropped."""
    visible = "".join(" " if char.isspace() and char not in "\u00a0\u202f" else char for char in text)
    visible = "".join(char for char in visible if unicodedata.category(char) not in ("Cc", "Cs"))
    return [word for word in _BREAKING_SPACE.split(visible) if word.strip()]


def clings(sign: str) -> bool:
    """Tell whether this is punctuation that belongs to the word before it."""
    return _CLOSING.fullmatch(sign) is not None


def opens(sign: str) -> bool:
    """Tell whether this is punctuation that belongs to the word after it."""
    return _OPENING.fullmatch(sign) is not None


def attach(word: str, sign: str, language: str) -> str:
    """Set a closing sign after a word, as the language does."""
    return word + (_FRENCH_SPACES.get(sign[0], "") if language == "fr" else "") + sign


def precede(sign: str, word: str, language: str) -> str:
    """Set an opening sign before a word, as the language does."""
    return sign + (NO_BREAK_SPACE if language == "fr" and sign == "«" else "") + word


def width(text: str) -> int:
    """Count columns: wide characters of East Asia take two, combining marks none."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def pieces(word: str, limit: int) -> list[str]:
    """Cut a word that no line can hold."""
    if width(word) <= limit:
        return [word] if word else []
    cut, taken = [""], 0
    for char in word:
        columns = _columns(char)
        if taken + columns > limit:
            cut.append("")
            taken = 0
        cut[-1] += char
        taken += columns
    return [piece for piece in cut if piece.strip()]


def whole_words(parts: Iterable[Word], language: str) -> list[Word]:
    """Join what whisper's tokenizer takes apart (" m", "'appelle"): there, a leading space says that a word begins."""
    words: list[Word] = []
    for part in parts:
        if words and not part.text.startswith(" ") and language not in SPACELESS:
            last = words[-1]
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
    return ("" if language in SPACELESS else " ").join(words)
