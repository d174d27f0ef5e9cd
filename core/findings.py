"""What `amphipod doctor` found, one line each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `words` say what was found, or what to do about it."""

    subject: str
    ok: bool
    words: str
