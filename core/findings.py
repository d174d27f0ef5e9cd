"""What `amphipod doctor` found, one line each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `words` say what was found, or what to do about it."""

    subject: str
    #: None: it is not here, and need not be.
    ok: bool | None
    words: str


def are_well(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing has to be mended."""
    return all(one.ok is not False for one in findings)
