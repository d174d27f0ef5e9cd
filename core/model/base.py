"""What all models share: frozen, strict, JSON both ways; ids, and the time."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

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


#: Bytes of a name that is not UTF-8 are, in JSON, these characters of a private use area, which names don't have;
#: Python holds them as lone surrogates (PEP 383), which no JSON can carry.
_TO_JSON = {0xDC00 + byte: 0xF700 + byte for byte in range(0x80, 0x100)}
_FROM_JSON = {carried: surrogate for surrogate, carried in _TO_JSON.items()}


def path_text(path: Path) -> str:
    """Return a path as JSON and pages can carry it."""
    return str(path).translate(_TO_JSON)


def _path(value: Any) -> Any:
    return value.translate(_FROM_JSON) if isinstance(value, str) else value


#: A path whose name may be any bytes.
FilePath = Annotated[Path, BeforeValidator(_path), PlainSerializer(path_text, return_type=str, when_used="json")]


class Model(BaseModel):
    """Frozen, strict about unknown fields, and JSON both ways."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> str:
        return self.model_dump_json(indent=2, exclude_none=True) + "\n"
