"""Words lost, words made up, and what it costs, on a recording of real speech whose truth is known.

    make bench-transcribe ARGS='--weights base.pt --recording lecture.flac --language en'

The truth lies beside the recording, as lecture.json (its form: scoring.py). The recognisers take turns, each in a
process of its own with one thread; CPU seconds count, weights read and sound decoded included, start-up not. With
`--before` an older checkout of Amphipod takes part.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.scoring import Score, score

ROOT = Path(__file__).parents[1]
_RECOGNISER = Path(__file__).with_name("recogniser.py")


@dataclass
class Entry:
    """One recogniser in the comparison."""

    name: str
    recogniser: str
    checkout: Path = ROOT
    costs: list[float] = field(default_factory=list)
    megabytes: float = 0.0
    scored: Score | None = None
    notes: Sequence[str] = ()

    def run(self, recording: Path, weights: Path, language: str, truth: Any) -> None:
        done = subprocess.run(
            [sys.executable, _RECOGNISER, self.recogniser, recording, weights, language],
            env={**os.environ, "PYTHONPATH": str(self.checkout), "AMPHIPOD_LOG_FORMAT": "json"},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        found = json.loads(done.stdout.splitlines()[-1])
        self.costs.append(found["cpu"])
        self.megabytes = max(self.megabytes, found["megabytes"])
        self.scored = score(found["text"], found["words"], truth)
        self.notes = found["notes"]

    def line(self, reference: Entry) -> str:
        assert self.scored is not None
        cost = statistics.median(self.costs)
        ratio = cost / statistics.median(reference.costs)
        return (
            f"| {self.name} | {self.scored.errors:.1%} | {self.scored.invented} | {self.scored.missed:.1f} "
            f"| {cost:.1f} ({min(self.costs):.1f} to {max(self.costs):.1f}) | {ratio:.2f} | {self.megabytes:.0f} |"
        )


def compare(recording: Path, weights: Path, language: str, rounds: int, before: Path | None) -> None:
    """Run all, turn by turn, and print a table."""
    truth = json.loads(recording.with_suffix(".json").read_text())
    pod = Entry("whisper as Esup-Pod calls it", "whisper")
    entries = [pod, Entry("Amphipod", "amphipod")]
    if before:
        entries.insert(1, Entry("Amphipod before", "amphipod", before))
    loads = [os.getloadavg()[0]]
    for _ in range(rounds):
        for entry in entries:
            entry.run(recording, weights, language, truth)
            loads.append(os.getloadavg()[0])
    cores = len(os.sched_getaffinity(0))
    print(
        f"{recording.stem}, {truth['seconds']:.0f} s, {weights.stem}, one thread each, {rounds} rounds; the machine's"
    )
    print(f"load was {min(loads):.0f} to {max(loads):.0f} on {cores} cores")
    print()
    print("| | word errors | words in gaps | seconds missed | CPU s | x Pod's CPU | MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for entry in entries:
        print(entry.line(pod))
    for entry in entries:
        for note in entry.notes:
            print(f"\n{entry.name}: {note}")
