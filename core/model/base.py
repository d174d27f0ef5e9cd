"""What all models share: frozen, strict, JSON both ways; ids, and the time."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

#: Version of these models' JSON; incremented when the release before could not read it any more.
SCHEMA = 1
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def check_id(value: str) -> str:
    """Return `value` if it can be a job's id, hence a folder's name; raise ValueError otherwise."""
    if not _ID.fullmatch(value):
        raise ValueError(
            f"{value!r} is not an id: 1 to 128 letters, digits, '_', '.' or '-', the first a letter or digit"
        )
    return value


#: What a header and a line of a log can carry.
CORRELATION_ID = re.compile(r"^[A-Za-z0-9_.:/+=@-]{1,128}$")


def check_correlation_id(value: str) -> str:
    """Return `value` if a header and a line of a log can carry it; raise ValueError otherwise."""
    if not CORRELATION_ID.fullmatch(value):
        raise ValueError(f"{value!r} is no correlation id: 1 to 128 letters, digits and any of _.:/+=@-")
    return value


def now() -> datetime:
    return datetime.now(UTC)


class Model(BaseModel):
    """Frozen, strict about unknown fields, and JSON both ways."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> str:
        return self.model_dump_json(indent=2, exclude_none=True) + "\n"
