"""A job's story as a page shows it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from core.model import Model
from core.storage.job_folder import JobFolder
from core.storage.story import Reader

#: Lines that are shown, the last ones.
MOST = 200

_RANK = {"debug": 0, "info": 1, "warning": 2, "error": 3, "critical": 4, "exception": 3}

#: What a page shows elsewhere, or has no use for.
_LEFT_OUT = ("timestamp", "level", "event", "exception", "reason", "job", "correlation_id", "logger")


class StoryLine(Model):
    #: Of its text, so that a browser knows it again.
    key: str
    at: datetime | None
    level: str
    event: str
    reason: str = ""
    #: What else it says: the host, the step, a number.
    about: str = ""
    exception: str = ""


def read(folder: JobFolder, least: str) -> list[StoryLine]:
    """Return the lines of at least this level, the oldest first."""
    found = (_line(line) for line in Reader(folder).new())
    return [line for line in found if _RANK.get(line.level, 1) >= _RANK[least]]


def _line(line: Mapping[str, Any]) -> StoryLine:
    return StoryLine(
        key=hashlib.sha256(json.dumps(line, sort_keys=True, default=str).encode()).hexdigest()[:12],
        at=_moment(line.get("timestamp")),
        level=str(line.get("level", "info")),
        event=str(line.get("event", "")),
        reason=str(line.get("reason") or ""),
        about=" · ".join(_about(line)),
        exception=str(line.get("exception") or ""),
    )


def _about(line: Mapping[str, Any]) -> Iterator[str]:
    for name, value in line.items():
        if name not in _LEFT_OUT and value not in (None, ""):
            yield str(value) if name in ("host", "step") else f"{name} {value}"


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
