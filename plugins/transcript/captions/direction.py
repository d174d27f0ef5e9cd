"""Marks that keep the lines of right-to-left languages in order, whatever they begin or end with.

WebVTT (section 7.4: `unicode-bidi: plaintext`) takes a line's direction from its first strong character (UAX #9, P2
and P3): a Latin word at its head turns the whole line, so a mark goes before it. Players of SubRip mostly take every
line for left to right: a mark at both ends holds its punctuation (N1), and where Latin words are in it, an isolate
orders the whole (RLI, UAX #9 section 2.5). Old players don't know isolates, so lines that need none have none.
"""

from __future__ import annotations

import re
import unicodedata

from plugins.transcript.captions.reading import primary

_RIGHT_TO_LEFT = frozenset(["ar", "ckb", "dv", "fa", "he", "iw", "ps", "sd", "ug", "ur", "yi"])

LEFT_TO_RIGHT_MARK = "\u200e"
RIGHT_TO_LEFT_MARK = "\u200f"
RIGHT_TO_LEFT_ISOLATE = "\u2067"
POP_ISOLATE = "\u2069"

#: Signs that belong to a Latin name which ends with them.
_SIGNS = re.compile(r"(?<=[A-Za-z])([+#]+)(?![A-Za-z0-9])")


def is_right_to_left(language: str) -> bool:
    return primary(language) in _RIGHT_TO_LEFT


def _whole_names(line: str) -> str:
    """Keep the signs of "C++" and "C#" behind their letter: between two directions they would go before it (N2)."""
    return _SIGNS.sub(rf"\1{LEFT_TO_RIGHT_MARK}", line)


def for_webvtt(line: str, language: str) -> str:
    """Mark a line whose first strong character points the other way, or isn't there."""
    ways = (unicodedata.bidirectional(char) for char in line)
    first = next((way for way in ways if way in ("L", "R", "AL")), "")
    if is_right_to_left(language):
        line = _whole_names(line)
        return line if first in ("R", "AL") else RIGHT_TO_LEFT_MARK + line
    return LEFT_TO_RIGHT_MARK + line if first in ("R", "AL") else line


def for_subrip(line: str, language: str) -> str:
    """Set a line of a right-to-left language so that its order does not depend on the player's."""
    if not is_right_to_left(language):
        return line
    line = _whole_names(line)
    if any(unicodedata.bidirectional(char) == "L" for char in line):
        line = RIGHT_TO_LEFT_ISOLATE + line + POP_ISOLATE
    return RIGHT_TO_LEFT_MARK + line + RIGHT_TO_LEFT_MARK
