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
    """What was heard in a window: of a lane, from one of its samples to another; times on the lecture's clock."""

    model_config = ConfigDict(frozen=True)

    task: Task
    lane: int
    start: int
    end: int
    segments: tuple[Segment, ...]
    tokens: tuple[int, ...]
    temperature: float
    tries: int
    #: Whether every temperature made a repetition of it, so that nothing is kept.
    is_given_up: bool = False


class LanguageStretch(BaseModel):
    """Part of a lane in one language, up to the lane's sample `end`; unsure where no vote says which."""

    model_config = ConfigDict(frozen=True)

    end: int
    language: str
    is_sure: bool = True


class SavedVote(BaseModel):
    """What a window votes for, likelihoods by language, and the languages in which it is decoded."""

    model_config = ConfigDict(frozen=True)

    lane: int
    start: int
    vote: Mapping[str, float]
    stretches: tuple[LanguageStretch, ...]


class Notebook:
    """A first line with what was decided for the whole lecture, then one line a vote or a window.

    A line counts when it is whole: the last one may have been cut by the crash. Notes made under other options, or of
    another file, are thrown away.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self._path = folder / "windows.jsonl"
        self._key = {"form": _FORM, **key}
        self._parts: list[SavedPart] = []
        self._reached: dict[tuple[Task, int], int] = {}
        #: By lane and the sample at which the window begins.
        self.votes: dict[tuple[int, int], SavedVote] = {}
        self.lanes: list[Window] | None = None
        #: Where the detector heard somebody speak, in samples; None where it wasn't asked.
        self.spoken: list[Span] | None = None
        #: Where the voice rests, be it between two words.
        self.rests: list[Span] = []
        self.verdict: LanguageVerdict | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._read()

    def begin(
        self,
        lanes: Sequence[Window],
        spoken: Sequence[Span] | None,
        verdict: LanguageVerdict,
        rests: Sequence[Span] = (),
    ) -> None:
        """Write down how the lecture is cut, where somebody speaks and rests, and what language."""
        self.lanes, self.verdict, self.rests = list(lanes), verdict, list(rests)
        self.spoken = None if spoken is None else list(spoken)
        head = {
            "key": self._key,
            "lanes": [lane.spans for lane in lanes],
            "spoken": self.spoken,
            "rests": self.rests,
            "language": [verdict.language, verdict.probability, verdict.alternatives],
        }
        self._write("w", [json.dumps(head)])

    def add(self, parts: Sequence[SavedPart]) -> None:
        """Write down parts that are done."""
        self._take(parts)
        self._write("a", [part.model_dump_json() for part in parts])

    def vote(self, votes: Sequence[SavedVote]) -> None:
        """Write down what windows voted for."""
        self.votes |= {(vote.lane, vote.start): vote for vote in votes}
        self._write("a", [vote.model_dump_json() for vote in votes])

    def vote_on(self, lane: int, sample: int) -> SavedVote | None:
        """Return the last vote whose window holds a lane's sample."""
        votes = [vote for (voter, start), vote in self.votes.items() if voter == lane and start <= sample]
        last = max(votes, key=lambda vote: vote.start, default=None)
        return last if last and sample < last.stretches[-1].end else None

    def stretch(self, lane: int, sample: int) -> LanguageStretch:
        """Return the stretch that holds a lane's sample; where nobody was asked, all is in the lecture's language."""
        if vote := self.vote_on(lane, sample):
            return next(stretch for stretch in vote.stretches if sample < stretch.end)
        assert self.lanes is not None
        assert self.verdict is not None
        return LanguageStretch(end=self.lanes[lane].samples, language=self.verdict.language)

    def parts(self, task: Task) -> list[SavedPart]:
        """Return what is done, in the lecture's order."""
        return sorted((part for part in self._parts if part.task == task), key=lambda part: (part.lane, part.start))

    def reached(self, task: Task, lane: int) -> int:
        """Return the sample up to which a lane is done."""
        return self._reached.get((task, lane), 0)

    def _take(self, parts: Iterable[SavedPart]) -> None:
        for part in parts:
            self._parts.append(part)
            self._reached[part.task, part.lane] = part.end

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
        self.lanes = [Window(tuple((start, end) for start, end in spans)) for spans in head["lanes"]]
        self.spoken = None if head["spoken"] is None else [(start, end) for start, end in head["spoken"]]
        self.rests = [(start, end) for start, end in head["rests"]]
        self.verdict = LanguageVerdict(*head["language"])
        for line in lines[1:]:
            if "vote" in json.loads(line):
                vote = SavedVote.model_validate_json(line)
                self.votes[vote.lane, vote.start] = vote
            else:
                self._take([SavedPart.model_validate_json(line)])
        whole = len(text) - len(text.split("\n")[-1])
        os.truncate(self._path, len(text[:whole].encode()))
