"""What is done of a lecture, on the disk, so that the attempt after a crash goes on from there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from core import Segment
from plugins.transcript.language import LanguageVerdict
from plugins.transcript.sound.windows import Span, Window

Task = Literal["transcribe", "translate"]

#: Of the file; notes in another form are not used.
_FORM = 3


class SavedPart(BaseModel):
    """What was heard in a window from one of its samples to another, on the lecture's clock."""

    model_config = ConfigDict(frozen=True)

    task: Task
    window: int
    start: int
    end: int
    segments: tuple[Segment, ...]
    tokens: tuple[int, ...]
    temperature: float
    tries: int
    #: Whether every temperature made a repetition of it, so that nothing is kept.
    is_given_up: bool = False


class Stretch(BaseModel):
    """Part of a window in one language, up to the window's sample `end`; unsure where no vote says which."""

    model_config = ConfigDict(frozen=True)

    end: int
    language: str
    is_sure: bool = True


class SavedVote(BaseModel):
    """What a window votes for, likelihoods by language, and the languages in which it is decoded."""

    model_config = ConfigDict(frozen=True)

    window: int
    vote: Mapping[str, float]
    stretches: tuple[Stretch, ...]


class Notebook:
    """A first line with what was decided for the whole lecture, then one line a vote or a part of a window.

    A line counts when it is whole: the last one may have been cut by the crash. Notes made under other options, or of
    another file, are thrown away.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self._path = folder / "windows.jsonl"
        self._key = {"form": _FORM, **key}
        self._parts: list[SavedPart] = []
        self._reached: dict[tuple[Task, int], int] = {}
        #: By window, of those that were asked.
        self.votes: dict[int, SavedVote] = {}
        self.windows: list[Window] | None = None
        #: Where the detector heard somebody speak, in samples; None where it wasn't asked.
        self.spoken: list[Span] | None = None
        self.verdict: LanguageVerdict | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._read()

    def begin(self, windows: Sequence[Window], spoken: Sequence[Span] | None, verdict: LanguageVerdict) -> None:
        """Write down how the lecture is cut, where somebody speaks, and what language."""
        self.windows, self.verdict = list(windows), verdict
        self.spoken = None if spoken is None else list(spoken)
        head = {
            "key": self._key,
            "windows": [window.spans for window in windows],
            "spoken": self.spoken,
            "language": [verdict.language, verdict.probability, verdict.alternatives],
        }
        self._write("w", [json.dumps(head)])

    def add(self, parts: Sequence[SavedPart]) -> None:
        """Write down parts that are done."""
        self._take(parts)
        self._write("a", [part.model_dump_json() for part in parts])

    def vote(self, votes: Sequence[SavedVote]) -> None:
        """Write down what windows voted for."""
        self.votes |= {vote.window: vote for vote in votes}
        self._write("a", [vote.model_dump_json() for vote in votes])

    def stretches(self, window: int) -> Sequence[Stretch]:
        """Return the languages in which a window is decoded, in order; where none was asked, that of the lecture."""
        if window in self.votes:
            return self.votes[window].stretches
        assert self.windows is not None
        assert self.verdict is not None
        return (Stretch(end=self.windows[window].samples, language=self.verdict.language),)

    def stretch(self, window: int, start: int) -> Stretch:
        """Return the one that holds a window's sample."""
        return next(stretch for stretch in self.stretches(window) if start < stretch.end)

    def parts(self, task: Task) -> list[SavedPart]:
        """Return what is done, in the lecture's order."""
        return sorted((part for part in self._parts if part.task == task), key=lambda part: (part.window, part.start))

    def reached(self, task: Task, window: int) -> int:
        """Return the sample up to which a window is done."""
        return self._reached.get((task, window), 0)

    def _take(self, parts: Iterable[SavedPart]) -> None:
        for part in parts:
            self._parts.append(part)
            self._reached[part.task, part.window] = part.end

    def _write(self, mode: str, lines: Sequence[str]) -> None:
        with self._path.open(mode, encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
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
        self.spoken = None if head["spoken"] is None else [(start, end) for start, end in head["spoken"]]
        self.verdict = LanguageVerdict(*head["language"])
        for line in lines[1:]:
            if "vote" in json.loads(line):
                vote = SavedVote.model_validate_json(line)
                self.votes[vote.window] = vote
            else:
                self._take([SavedPart.model_validate_json(line)])
        whole = len(text) - len(text.split("\n")[-1])
        os.truncate(self._path, len(text[:whole].encode()))
