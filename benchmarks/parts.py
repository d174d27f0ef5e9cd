"""What it costs to encode a lecture in parts, and how much sooner several workers are done.

    python -m benchmarks.parts compare [SECONDS [PART_SECONDS [PROFILE]]]     one row of the table
    python -m benchmarks.parts simulate [HOURS]                               from the rows that were measured

Needs ffmpeg for the source. Processor seconds, of each process and all its threads: the undivided encode in one
process; its parts shared by two workers, processes that run at the same time and each take the next part that nobody
has; then the join. The gates are for an otherwise idle machine of two cores.
"""

from __future__ import annotations

import heapq
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import media
from core import Division, PartOutput, Source
from core.testing import fake_context, fake_job

WORKERS = 2

#: Of the undivided encode's: the larger worker with the join, for parts of 60 s; all work, for parts of 240 s.
SHARE_GATE, OVERHEAD_GATE = 0.56, 1.03

#: Seconds of film that are really made; a longer one repeats them.
_LOOP = 60

_ROWS = Path(tempfile.gettempdir()) / "amphipod-benchmark-parts.jsonl"


@dataclass(frozen=True)
class Row:
    """Processor seconds."""

    profile: str
    seconds: int
    part_seconds: int
    whole: float
    divide: float
    #: Of each picture part, in order; and of the sound.
    parts: tuple[float, ...]
    sound: float
    #: Of each worker, start-up included.
    workers: tuple[float, ...]
    join: float

    @property
    def share(self) -> float:
        return (max(self.workers) + self.join) / self.whole

    @property
    def overhead(self) -> float:
        return (self.divide + sum(self.workers) + self.join) / self.whole

    def __str__(self) -> str:
        workers = " + ".join(f"{one:.0f}" for one in self.workers)
        return (
            f"| {self.profile} | {self.seconds} s in {len(self.parts)} x {self.part_seconds} s | {self.whole:.1f} "
            f"| {workers} | {self.divide:.2f} | {self.join:.2f} | {self.share:.3f} | {self.overhead:.3f} |"
        )


HEADER = (
    "| profile | source | undivided, CPU s | each worker | divide | join | larger worker + join | all work |\n"
    "|---|---|---|---|---|---|---|---|"
)


def compare(seconds: int, part_seconds: int, profile: str) -> Row:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = media.lecture(folder / "loop.mp4", min(seconds, _LOOP))
        if seconds > _LOOP:
            source = media.repeat(source, folder / "lecture.mp4", seconds)
        options = {"profile": profile, "part_seconds": part_seconds}
        (folder / "task.json").write_text(json.dumps({"source": str(source), "options": options}))
        [whole] = _run(folder, "whole")
        [divide] = _run(folder, "divide")
        workers = _run(folder, *["work"] * WORKERS)
        [join] = _run(folder, "join")
        costs = {path.stem: float(path.read_text()) for path in folder.glob("*.cost")}
        sound = costs.pop("sound", 0.0)
        parts = tuple(cost for _, cost in sorted(costs.items()))
        return Row(profile, seconds, part_seconds, whole, divide, parts, sound, tuple(workers), join)


def _run(folder: Path, *verbs: str) -> list[float]:
    """Run processes at the same time; return the processor seconds of each."""
    command = [sys.executable, "-m", "benchmarks.parts"]
    running = [subprocess.Popen([*command, verb, str(folder)]) for verb in verbs]
    costs = []
    for process in running:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
        costs.append(usage.ru_utime + usage.ru_stime)
    return costs


# What the processes do


def do(verb: str, folder: Path) -> None:
    from plugins.encode import plugin as encode

    room = folder.parent if verb == "part" else folder
    task = json.loads((room / "task.json").read_text())
    source, options = Path(task["source"]), task["options"]
    division = room / "division.json"
    if verb == "whole":
        context = fake_context(folder / "whole", source, threads=WORKERS)
        encode.encode(fake_job(source), Source(path=source), options, context)
    elif verb == "divide":
        divided = encode.divide(Source(path=source), options, fake_context(folder / "divide", source))
        division.write_text(divided.to_json())
    elif verb == "work":
        for part in Division.model_validate_json(division.read_text()).parts:
            with suppress(FileExistsError):
                (folder / f"{part.name}.taken").touch(exist_ok=False)
                [cost] = _run(folder / part.name, "part")
                (folder / f"{part.name}.cost").write_text(str(cost))
    elif verb == "part":
        parts = Division.model_validate_json(division.read_text()).parts
        part = next(part for part in parts if part.name == folder.name)
        context = fake_context(folder, source, threads=1)
        made = encode.encode_part(part, options, context).model_copy(update={"folder": context.output})
        (folder.parent / f"{part.name}.json").write_text(made.to_json())
    else:
        parts = Division.model_validate_json(division.read_text()).parts
        made_parts = [PartOutput.model_validate_json((folder / f"{part.name}.json").read_text()) for part in parts]
        encode.join(fake_job(source), made_parts, options, fake_context(folder / "joined", source))


# A longer lecture


def simulate(row: Row, hours: float, workers: int) -> float:
    """Return the processor seconds after which the last of several equal workers has joined a longer lecture."""
    factor = hours * 3600 / row.seconds
    pieces = [row.parts[number % len(row.parts)] for number in range(round(len(row.parts) * factor))]
    free = [row.divide * factor] * workers
    for piece in (*pieces, row.sound * factor):
        heapq.heapreplace(free, free[0] + piece)
    return max(free) + row.join * factor


def report(rows: Sequence[Row], hours: float) -> None:
    print("| profile | part | undivided, CPU s | 2 workers | 8 | 32 |\n|---|---|---|---|---|---|")
    for row in rows:
        whole = row.whole * hours * 3600 / row.seconds
        cells = (simulate(row, hours, workers) for workers in (2, 8, 32))
        times = " | ".join(f"{cell:.0f} ({whole / cell:.1f}x)" for cell in cells)
        print(f"| {row.profile} | {row.part_seconds} s | {whole:.0f} | {times} |")


def main() -> None:
    verb, *arguments = sys.argv[1:] or ["compare"]
    if verb == "compare":
        seconds, part_seconds, profile = (*arguments, *("240", "60", "pod")[len(arguments) :])
        row = compare(int(seconds), int(part_seconds), profile)
        with _ROWS.open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")
        print(f"{HEADER}\n{row}")
        gate = (row.share, SHARE_GATE) if row.part_seconds == 60 else (row.overhead, OVERHEAD_GATE)
        print(f"gate: {gate[0]:.3f} <= {gate[1]}: {'holds' if gate[0] <= gate[1] else 'MISSED'}")
    elif verb == "simulate":
        rows = [Row(**json.loads(line)) for line in _ROWS.read_text().splitlines()]
        report(rows, float(arguments[0]) if arguments else 2)
    else:
        do(verb, Path(arguments[0]))


if __name__ == "__main__":
    main()
