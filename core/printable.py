"""Text that any log, page and terminal can carry, whatever bytes a file's name has."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text with `?` for bytes that are not UTF-8, which Python holds as lone surrogates (PEP 383)."""
    return text.encode(errors="replace").decode()
