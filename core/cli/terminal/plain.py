"""What files, portals and engines call things, made fit for a terminal."""

from __future__ import annotations

import unicodedata

#: Kinds of character that move the cursor, colour, hide or turn round what stands beside them, or are no text.
_UNFIT = ("Cc", "Cf", "Cs", "Zl", "Zp")

#: Of those, what words are written with: joiners of Persian, Indian scripts and emoji.
_FIT = "\u200c\u200d"


def plain(text: str) -> str:
    r"""Return words on one line in which control characters, and bytes that are no text, are written out (`\x1b`).

    For `typer.echo`, and for rich with `markup=False`; what rich reads as markup, `rich.markup.escape` quotes.
    """
    return "".join(letter if _is_fit(letter) else _written_out(letter) for letter in text)


def _is_fit(letter: str) -> bool:
    return letter in _FIT or unicodedata.category(letter) not in _UNFIT


def _written_out(letter: str) -> str:
    if letter in "\n\r\t":
        return " "
    if "\udc80" <= letter <= "\udcff":  # a byte of a file name that is no UTF-8, as Python carries it
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")
