"""A learning record on its way, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from core.model.base import Model

Statement = Mapping[str, Any]
"""An xAPI statement as JSON, sent as it was received."""


class Destination(Model):
    """A learning record store, known by a short name."""

    name: str
    url: str


class Receipt(Model):
    """What became of one statement.

    delivered; retry: the store is away or busy; blocked: a person has to mend something (a password, an address) before
    it takes any; rejected: it will never take this one.
    """

    statement_id: str
    outcome: Literal["delivered", "retry", "blocked", "rejected"]
    #: The store's words, or what a person has to mend.
    words: str = ""
    #: Nothing about this statement is the reason, any other would have fared alike: the store is away, busy, or refuses
    #: our login. Otherwise, one that is never taken while others are is set aside.
    store_wide: bool = False
    #: Seconds that the store asks to be left alone for.
    retry_after: float | None = None
