"""Which course a statement belongs to, and which record store may see it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from core import DROP, Destination, PluginUnavailable, Statement, hookimpl


@hookimpl
def configure() -> None:
    if "AMPHIPOD_COURSES_FILE" not in os.environ:
        raise PluginUnavailable("no table of courses", remedy="set AMPHIPOD_COURSES_FILE to a JSON file")


@cache
def _courses() -> Mapping[str, str]:
    """Return courses by the beginning of their lectures' addresses, as our timetable writes them."""
    courses: dict[str, str] = json.loads(Path(os.environ["AMPHIPOD_COURSES_FILE"]).read_text(encoding="utf-8"))
    return courses


@hookimpl
def prepare_statement(statement: Statement, destination: Destination) -> Statement | None:
    lecture = statement["object"]["id"]
    course = next((course for start, course in _courses().items() if lecture.startswith(start)), None)
    if course is None:
        return DROP if destination.name == "national" else None
    context: dict[str, Any] = statement.get("context", {})
    activities = {**context.get("contextActivities", {}), "grouping": [{"id": course}]}
    return {**statement, "context": {**context, "platform": "Our University", "contextActivities": activities}}
