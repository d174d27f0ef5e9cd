"""Captions of real speech by every way that a university has: what they get wrong, and what that costs.

    make bench-speech ARGS='WEIGHTS RECORDING:LANGUAGE ...'

WEIGHTS is a folder with OpenAI's `base` as base.pt (benchmarks/openai_weights.py fetches it) and, made by `amphipod
models convert base`, base-ct2. The truth lies beside a recording as its .json (its form: scoring.py); without one the
text is printed to be read. The recognisers take turns, each in a process of its own with one thread; CPU seconds have
the weights read and the sound decoded in them. With `--before` an older checkout of Amphipod takes part.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cue_rules import violations
from benchmarks.recogniser import RECOGNISERS
from benchmarks.scoring import Score, score
from plugins.transcript.sound.audio import iter_audio
from plugins.transcript.sound.windows import RATE

ROOT = Path(__file__).parents[1]
_RECOGNISER = Path(__file__).with_name("recogniser.py")

#: Decibels below its loudest from which a voice is audible, and how long it has to be, in frames of 10 ms: a click of
#: two recordings joined is none. What hums and rumbles below a telephone's band is no voice.
_AUDIBLE, _LASTS, _VOICE = 20.0, 15, (300, 3400)

OURS, POD, RIVAL = "Amphipod, CTranslate2 int8", "whisper as Esup-Pod calls it", "faster-whisper int8, beam 5"


@dataclass
class Entry:
    """One recogniser in the comparison."""

    name: str
    recogniser: str
    checkout: Path = ROOT
    costs: list[float] = field(default_factory=list)
    walls: list[float] = field(default_factory=list)
    megabytes: float = 0.0
    scores: list[Score] = field(default_factory=list)
    broken: int = 0
    found: Any = None

    def run(self, recording: Path, weights: Path, language: str, truth: Any) -> None:
        done = subprocess.run(
            [sys.executable, _RECOGNISER, self.recogniser, recording, weights, language],
            env={**os.environ, "PYTHONPATH": str(self.checkout), "AMPHIPOD_LOG_FORMAT": "json"},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        self.found = json.loads(done.stdout.splitlines()[-1])
        self.costs.append(self.found["cpu"])
        self.walls.append(self.found["wall"])
        self.megabytes = max(self.megabytes, self.found["megabytes"])
        if truth:
            self.scores.append(score(self.found["words"], truth, language))
            self.broken = violations(self.found["cues"], truth["seconds"])

    def line(self, pod: Entry, rival: Entry) -> str:
        cost = statistics.median(self.costs)
        shares = (f"{cost / statistics.median(other.costs):.2f}" if other.costs else "-" for other in (pod, rival))
        figures = [f"{cost:.1f}", *shares, f"{statistics.median(self.walls):.1f}", f"{self.megabytes:.0f}"]
        if self.scores:
            last = self.scores[-1]
            errors = statistics.median(one.errors for one in self.scores)
            figures = [
                *(f"{errors:.1%}", str(last.invented), f"{last.missed:.1f}"),
                *(f"{last.onset(50):.2f}", f"{last.onset(90):.2f}", *figures, str(self.broken)),
            ]
        return f"| {' | '.join([self.name, *figures])} |"


def audible(recording: Path, truth: Any) -> Any:
    """Move each segment's start to where it can be heard: truths of joined recordings begin where a file does."""
    sound = np.concatenate(list(iter_audio(recording)))
    spectrum, hertz = np.fft.rfft(sound), np.fft.rfftfreq(len(sound), 1 / RATE)
    spectrum[(hertz < _VOICE[0]) | (hertz > _VOICE[1])] = 0
    sound = np.fft.irfft(spectrum, len(sound))
    moved = []
    for segment in truth["segments"]:
        part = sound[round(segment["start"] * RATE) : round(segment["end"] * RATE)]
        frames = part[: len(part) // (RATE // 100) * (RATE // 100)].reshape(-1, RATE // 100)
        levels = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
        steady = np.median(np.lib.stride_tricks.sliding_window_view(levels, min(_LASTS, len(levels))), axis=1)
        late = float(np.argmax(steady > np.percentile(levels, 95) - _AUDIBLE)) / 100
        moved.append({**segment, "start": segment["start"] + late})
    return {**truth, "segments": moved}


def compare(recording: Path, weights: Path, language: str, chosen: argparse.Namespace) -> None:
    """Run all, turn by turn, and print a table."""
    beside = recording.with_suffix(".json")
    truth = audible(recording, json.loads(beside.read_text())) if beside.exists() else None
    entries = {name: Entry(name, name) for name in RECOGNISERS if not chosen.only or name in chosen.only}
    if chosen.before:
        entries["before"] = Entry("Amphipod before", OURS, chosen.before)
    loads = [os.getloadavg()[0]]
    for _ in range(chosen.rounds):
        for entry in entries.values():
            entry.run(recording, weights, language, truth)
            loads.append(os.getloadavg()[0])
    print(f"\n{recording.stem}, one thread each, {chosen.rounds} rounds; the machine's load was {min(loads):.1f} to")
    print(f"{max(loads):.1f} on {len(os.sched_getaffinity(0))} cores\n")
    columns = ["CPU s", "x Pod's", "x faster-whisper's", "wall s", "MB"]
    if truth:
        heard = ["word errors", "words in gaps", "seconds missed", "onset p50, s", "p90"]
        columns = [*heard, *columns, "rules broken"]
    print(f"| | {' | '.join(columns)} |")
    print(f"|{' --- |' * (len(columns) + 1)}")
    nobody = Entry("", "")
    for entry in entries.values():
        print(entry.line(entries.get(POD, nobody), entries.get(RIVAL, nobody)))
    for entry in entries.values():
        if not truth:
            print(f"\n{entry.name}: {' '.join(line for cue in entry.found['cues'] for line in cue[2:])}")
        for note in entry.found["notes"]:
            print(f"\n{entry.name}: {note}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("recordings", nargs="+", help="path:language")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", action="append", choices=RECOGNISERS, help="a recogniser; may be repeated")
    parser.add_argument("--before", type=Path, help="an older checkout of Amphipod to compare with")
    chosen = parser.parse_args()
    for named in chosen.recordings:
        path, _, language = named.rpartition(":")
        compare(Path(path), chosen.weights, language, chosen)


if __name__ == "__main__":
    main()
