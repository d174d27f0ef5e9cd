"""Where a line may break: the rules of Unicode (UAX #14) for signs, a model of phrases where no spaces part words.

BudouX knows the phrases of Japanese, Chinese and Thai. No library that installs without a compiler knows the words of
Lao, Burmese and Khmer: those break at their spaces, and where no line could hold more, between two clusters.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from plugins.transcript.captions.typography import width

if TYPE_CHECKING:
    from budoux import Parser

_log = logging.getLogger(__name__)

# Pairs of UAX #14: no break before these (LB 7, 8a, 9, 11, 13, 16, 21, 22 and, of CJ, the strict choice of LB 1: small
# kana and the long-vowel sign do not begin a line), none after those (LB 12, 14, 25).
_NOT_BEFORE = frozenset(["CL", "CP", "EX", "IS", "SY", "NS", "CJ", "IN", "PO", "BA", "HY", "CM", "ZWJ", "GL", "WJ"])
_NOT_AFTER = frozenset(["OP", "PR", "ZWJ", "GL", "WJ"])
# Letters, with their marks, and digits stay together: "Python3" (LB 9, 23, 25, 28). Thai letters are of another class.
_ALPHABETIC = frozenset(["AL", "HL", "NU", "CM"])


def phrases(text: str, language: str) -> list[str]:
    """Cut a text without spaces between words into what a line holds whole; together they are the text again."""
    parser = _parser(_model(language))
    found = parser.parse(text) if parser else [text]
    offers = {*accumulate(map(len, found)), *(at + 1 for at, char in enumerate(text) if char == " ")}
    return _parts(text, sorted(at for at in offers if _may_break(text, at)))


def fitting(word: str, limit: int) -> list[str]:
    """Cut a word that no line of `limit` columns can hold: where Unicode allows a break, else between characters."""
    if width(word) <= limit:
        return [word] if word.strip() else []
    lines = [""]
    for part in _unbroken(word):
        for cluster in [part] if width(part) <= limit else _clusters(part):
            if width(lines[-1]) + width(cluster) > limit:
                lines.append("")
            lines[-1] += cluster
    return [line for line in lines if line.strip()]


def _model(language: str) -> str:
    tag = language.lower().replace("_", "-")
    primary = tag.partition("-")[0]
    if primary == "yue" or tag.startswith(("zh-hant", "zh-tw", "zh-hk", "zh-mo")):
        return "zh-hant"
    return primary


@cache
def _parser(model: str) -> Parser | None:
    if model not in ("ja", "th", "zh", "zh-hant"):
        return None
    try:
        import budoux
    except ImportError:
        _log.warning("captions in %s break inside words: pip install 'amphipod[captions]'", model)
        return None
    if model == "ja":
        return budoux.load_default_japanese_parser()
    if model == "th":
        return budoux.load_default_thai_parser()
    if model == "zh":
        return budoux.load_default_simplified_chinese_parser()
    return budoux.load_default_traditional_chinese_parser()


@cache
def _line_break(char: str) -> str:
    """Return a character's class in UAX #14; without uniseg, the one nearest to its general category."""
    category = unicodedata.category(char)
    if category in ("Mn", "Mc", "Me"):
        return "CM"
    try:
        from uniseg.linebreak import line_break
    except ImportError:
        return {"Ps": "OP", "Pi": "OP", "Pe": "CL", "Pf": "CL", "Po": "CL"}.get(category, "XX")
    found = str(line_break(char))
    if found == "QU":
        return {"Pi": "OP", "Pf": "CL"}.get(category, found)
    return found


def _may_break(text: str, at: int) -> bool:
    after = text[at : at + 1]
    space = at > 0 and text[at - 1] == " "
    before = text[at - 2 if space else at - 1 : at].strip()
    if not before or not after.strip():
        return False
    one, other = _line_break(before), _line_break(after)
    if other in _NOT_BEFORE or one in _NOT_AFTER:
        return False
    return space or not (one in _ALPHABETIC and other in _ALPHABETIC)


def _parts(text: str, cuts: Sequence[int]) -> list[str]:
    return [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]


def _unbroken(word: str) -> list[str]:
    try:
        from uniseg.linebreak import line_break_units
    except ImportError:
        return _clusters(word)
    offers = accumulate(map(len, line_break_units(word)))
    return _parts(word, [at for at in offers if _may_break(word, at)])


def _clusters(text: str) -> list[str]:
    """Return what readers take for one character: a letter with its marks."""
    try:
        from uniseg.graphemecluster import grapheme_clusters
    except ImportError:
        return list(text)
    return list(grapheme_clusters(text))
