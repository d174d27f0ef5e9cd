"""Which course a statement belongs to, and which record store may see it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from core import DROP, Destination, PluginUnavailable, Statement, hookimpl


class Courses:
    """Courses by the beginning of a lecture's address, from the file that our timetable writes."""

    @hookimpl
    def configure(self) -> None:
        file = os.environ.get("AMPHIPOD_COURSES_FILE")
        if not file:
            raise PluginUnavailable("no table of courses", remedy="set AMPHIPOD_COURSES_FILE to a JSON file")
        self._courses: dict[str, str] = json.loads(Path(file).read_text(encoding="utf-8"))

    @hookimpl
    def prepare_statement(self, statement: Statement, destination: Destination) -> Statement | None:
        lecture = statement["object"]["id"]
        course = next((one for start, one in self._courses.items() if lecture.startswith(start)), None)
        if course is None:
            return DROP if destination.name == "national" else None
        context = statement.get("context", {})
        activities = {**context.get("contextActivities", {}), "grouping": [{"id": course}]}
        return {**statement, "context": {**context, "platform": "Our University", "contextActivities": activities}}


courses = Courses()
