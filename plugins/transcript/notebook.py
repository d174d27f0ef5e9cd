"""What is done of a lecture, on the disk, so that the attempt after a crash goes on from there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core import Segment
from plugins.transcript.language import Verdict
from plugins.transcript.windows import Window


class Notebook:
    """A first line with what was decided for the whole lecture, then one line a window that is done.

    A line counts when it is whole: the last one may have been cut by the crash. Notes made under other options, or of
    another file, are thrown away.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self._path = folder / "windows.jsonl"
        self._key = dict(key)
        self.windows: list[Window] | None = None
        self.verdict: Verdict | None = None
        #: Result of each window that is done, by its number.
        self.done: dict[int, dict[str, Any]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._read()

    def begin(self, windows: Sequence[Window], verdict: Verdict) -> None:
        """Write down how the lecture is cut and what is spoken."""
        self.windows, self.verdict = list(windows), verdict
        head = {
            "key": self._key,
            "windows": [window.spans for window in windows],
            "language": [verdict.language, verdict.probability, verdict.alternatives],
        }
        self._write("w", [head])

    def add(self, results: Mapping[int, dict[str, Any]]) -> None:
        """Write down windows that are done."""
        self.done.update(results)
        self._write("a", [{"window": number, **result} for number, result in results.items()])

    def _write(self, mode: str, lines: Sequence[Mapping[str, Any]]) -> None:
        with self._path.open(mode, encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())

    def _read(self) -> None:
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        lines = text.split("\n")[:-1]
        if not lines or (head := json.loads(lines[0]))["key"] != json.loads(json.dumps(self._key)):
            return
        self.windows = [Window(tuple((start, end) for start, end in spans)) for spans in head["windows"]]
        self.verdict = Verdict(*head["language"])
        for line in map(json.loads, lines[1:]):
            self.done[line.pop("window")] = line
        whole = len(text) - len(text.split("\n")[-1])
        os.truncate(self._path, len(text[:whole].encode()))


def to_json(segments: Sequence[Segment]) -> list[dict[str, Any]]:
    return [segment.model_dump(mode="json") for segment in segments]


def from_json(segments: Sequence[Mapping[str, Any]]) -> list[Segment]:
    return [Segment.model_validate(segment) for segment in segments]
