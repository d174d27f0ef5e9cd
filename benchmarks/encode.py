"""What an encode costs beside ffmpeg's command line doing the same: `make bench`.

Processor seconds count, of each command and all that it starts; wall time depends on who else is at the machine. The
commands take turns, so that a slow minute of the machine falls on all of them. RESULTS.md is written from a whole run
on the films made here; `--quick` and films of your own only print.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import av

from benchmarks import media, rivals, where
from benchmarks.measure import Cost, run, run_all
from benchmarks.quality import judge
from benchmarks.rivals import Film, amphipod
from plugins.encode.source.probe import probe

RESULTS = Path(__file__).with_name("RESULTS.md")

#: Seconds of the films, and of the film that tells how the cost grows.
_FULL, _QUICK, _LENGTHS = 60, 15, (15, 60, 600)

POD, OURS, LECTURE, SINGLE, FLOOR = "a", "b", "c", "d", "e"

ENGINES = {
    POD: "Esup-Pod's ffmpeg commands",
    OURS: "Amphipod, profile `pod`",
    LECTURE: "Amphipod, profile `lecture`",
    SINGLE: "one ffmpeg command (split, tee)",
    FLOOR: "the floor: each part by itself",
}

#: Whose pictures are compared with the source's.
JUDGED = (POD, OURS, LECTURE)

#: What must hold: numerator, denominator, most of a 720p and of a 1080p film.
CPU_GATES = ((OURS, POD, 0.52, 0.68), (LECTURE, POD, 0.45, 0.45), (OURS, SINGLE, 1.02, 1.02), (OURS, FLOOR, 1.08, 1.08))
MEMORY_GATE = (OURS, POD, 1.20, 1.10)

INTRODUCTION = """\
Written by `make bench` ([encode.py](encode.py)). Processor seconds of a command and of all that it starts; for
`amphipod run` from its first import to its exit. Memory is the most that the process tree held at once (PSS, ten
looks a second). The commands take turns, and a ratio is the median of the rounds' ratios. SSIM and XPSNR are of the
luma, against the source scaled by the bicubic filter. The floor (e) is decode and scale, then x264, AAC and LAME less a
run without them, each by ffmpeg in a command of its own that writes nothing.
"""

#: By how much a second of a long film may cost more. (The shortest one pays for starting two Python processes.)
_GROWTH = 1.05


@dataclass
class Runs:
    """What was measured of one film."""

    film: Film
    costs: dict[str, list[Cost]] = field(default_factory=lambda: {engine: [] for engine in ENGINES})
    #: The floor's parts, a dictionary a round.
    parts: list[dict[str, Cost]] = field(default_factory=list)
    #: By engine and file: bytes, SSIM, XPSNR.
    quality: dict[tuple[str, str], tuple[int, float, float]] = field(default_factory=dict)
    total_bytes: dict[str, int] = field(default_factory=dict)

    def ratio(self, over: str, under: str, value: Callable[[Cost], float]) -> tuple[float, float, float]:
        """Return the median of the rounds' ratios, and the lowest and the highest."""
        pairs = zip(self.costs[over], self.costs[under], strict=True)
        ratios = [value(one) / value(other) for one, other in pairs]
        return statistics.median(ratios), min(ratios), max(ratios)


def compare(film: Film, rounds: int, scratch: Path) -> Runs:
    """Let all take turns."""
    runs = Runs(film)
    for number in range(rounds):
        for engine in ENGINES:
            folder = scratch / engine
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            cost = _once(engine, runs, folder)
            _say(f"{film.path.stem}, round {number + 1}: {engine} {cost.cpu:.1f} s, {cost.memory >> 20} MiB")
    for engine in JUDGED:
        judge_files(engine, runs, scratch / engine)
    return runs


def comparison(runs: Runs) -> Iterator[str]:
    yield from _cost_table(runs)
    yield from _gates(runs)
    yield from _floor_table(runs)
    yield from _quality_table(runs)


def _once(engine: str, runs: Runs, folder: Path) -> Cost:
    film = runs.film
    if engine == FLOOR:
        runs.parts.append(rivals.floor(film, folder))
        cost = sum(runs.parts[-1].values(), Cost())
    elif engine == POD:
        cost = run_all(rivals.pod(film), folder)
    elif engine == SINGLE:
        cost = run_all(rivals.single(film), folder)
    else:
        cost = run(amphipod(film.path, folder, *["profile=lecture"] * (engine == LECTURE)), folder)
    runs.costs[engine].append(cost)
    return cost


def judge_files(engine: str, runs: Runs, folder: Path) -> None:
    runs.total_bytes[engine] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    for rendition in runs.film.renditions:
        name = f"{rendition.name}.ts"
        file = next(folder.rglob(name))
        try:
            runs.quality[engine, name] = (file.stat().st_size, *judge(runs.film.path, file))
        except ValueError:
            _say(f"{engine} {name}: not as many frames as in the source, not judged")


def _cost_table(runs: Runs) -> Iterator[str]:
    yield "| | | CPU s, median (range) | wall s | MiB, median (range) | x Pod's CPU |"
    yield "|---|---|---|---|---|---|"
    for engine, what in ENGINES.items():
        costs = runs.costs[engine]
        memory = "" if engine == FLOOR else _spread([cost.memory / 2**20 for cost in costs], "0f")
        wall = "" if engine == FLOOR else f"{statistics.median(cost.wall for cost in costs):.0f}"
        middle, _, _ = runs.ratio(engine, POD, lambda cost: cost.cpu)
        yield f"| {engine} | {what} | {_spread([c.cpu for c in costs], '1f')} | {wall} | {memory} | {middle:.2f} |"
    yield ""


def _gates(runs: Runs) -> Iterator[str]:
    assert runs.film.media.video
    is_hd = runs.film.media.video.height > 720
    yield "| ratio | median of rounds (range) | at most | |"
    yield "|---|---|---|---|"
    for over, under, at_720, at_1080 in CPU_GATES:
        yield _gate(f"{over}/{under} CPU", runs.ratio(over, under, lambda c: c.cpu), at_1080 if is_hd else at_720)
    over, under, at_720, at_1080 = MEMORY_GATE
    yield _gate(f"{over}/{under} memory", runs.ratio(over, under, lambda c: c.memory), at_1080 if is_hd else at_720)
    yield ""


def _gate(name: str, ratio: tuple[float, float, float], limit: float) -> str:
    middle, lowest, highest = ratio
    verdict = "holds" if middle <= limit else "**missed**"
    return f"| {name} | {middle:.3f} ({lowest:.3f} to {highest:.3f}) | {limit:.2f} | {verdict} |"


def _floor_table(runs: Runs) -> Iterator[str]:
    yield "| the floor's parts | CPU s, median |"
    yield "|---|---|"
    for part in runs.parts[0]:
        yield f"| {part} | {statistics.median(parts[part].cpu for parts in runs.parts):.2f} |"
    yield ""


def _quality_table(runs: Runs) -> Iterator[str]:
    heads = [f"{what} {engine}" for what in ("MB", "SSIM dB", "XPSNR dB") for engine in JUDGED]
    yield f"| | {' | '.join(heads)} |"
    yield "|---" * (len(heads) + 1) + "|"
    for rendition in runs.film.renditions:
        name = f"{rendition.name}.ts"
        found = [runs.quality.get((engine, name)) for engine in JUDGED]
        cells = [f"{values[0] / 1e6:.2f}" if values else "" for values in found]
        cells += [f"{values[index]:.2f}" if values else "" for index in (1, 2) for values in found]
        yield f"| {name} | {' | '.join(cells)} |"
    sizes = [f"{runs.total_bytes[engine] / 1e6:.2f}" for engine in JUDGED]
    yield f"| all files | {' | '.join(sizes)} |{' |' * 6}"
    yield ""


def profiles(films: Iterable[Film], scratch: Path) -> dict[str, dict[str, float]]:
    tables = {}
    for film in films:
        for name in ("pod", "lecture"):
            tables[f"{film.path.stem}, {name}"] = where.measure(film.path, name, scratch)
            _say(f"profile of {film.path.stem}, {name}")
    return tables


def profile_table(tables: dict[str, dict[str, float]]) -> Iterator[str]:
    yield f"| CPU s | {' | '.join(tables)} |"
    yield "|---" * (len(tables) + 1) + "|"
    for part in dict.fromkeys(part for table in tables.values() for part in table):
        cells = [f"{table[part]:.2f}" if part in table else "" for table in tables.values()]
        yield f"| {part} | {' | '.join(cells)} |"
    yield ""


def scaling(film: Film, scratch: Path) -> dict[str, dict[int, Cost]]:
    """Measure films of one kind and of several lengths, by profile."""
    costs: dict[str, dict[int, Cost]] = {"pod": {}, "lecture": {}}
    for seconds in _LENGTHS:
        source = media.repeat(film.path, scratch / f"{film.path.stem}-{seconds}.mp4", seconds)
        for name, known in costs.items():
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                known[seconds] = run(amphipod(source, Path(folder), f"profile={name}"), Path(folder))
            _say(f"{seconds} s, {name}: {known[seconds].cpu:.1f} s")
    return costs


def scaling_table(costs: dict[str, dict[int, Cost]]) -> Iterator[str]:
    yield "| profile | film of | CPU s | CPU s a second | MiB | |"
    yield "|---|---|---|---|---|---|"
    for name, known in costs.items():
        rates = {seconds: cost.cpu / seconds for seconds, cost in known.items()}
        middle = statistics.median(rates.values())
        for seconds, cost in known.items():
            verdict = "" if rates[seconds] <= _GROWTH * middle or seconds == min(known) else "**dearer**"
            yield f"| {name} | {seconds} s | {cost.cpu:.1f} | {rates[seconds]:.3f} | {cost.memory >> 20} | {verdict} |"
    yield ""


def _spread(values: Sequence[float], form: str) -> str:
    return f"{statistics.median(values):.{form}} ({min(values):.{form}} to {max(values):.{form}})"


def machine() -> Iterator[str]:
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if "model name" in line), "")
    memory = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")) >> 20
    yield f"- {os.cpu_count()} cores of {model or platform.machine()}, {memory} GiB, Linux {platform.release()}"
    ffmpeg = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout
    yield f"- {ffmpeg.splitlines()[0].split(' Copyright')[0]}, whose commands these are"
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    yield f"- Python {platform.python_version()}, PyAV {version('av')} (libavcodec {codec})"
    yield ""


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def write(sections: dict[str, list[str]]) -> None:
    """Put new sections into RESULTS.md; those that weren't measured stay."""
    known: dict[str, list[str]] = {}
    if RESULTS.exists():
        title = ""
        for line in RESULTS.read_text().splitlines():
            if line.startswith("## "):
                title = line[3:]
                known[title] = []
            elif title:
                known[title].append(line)
    known |= sections
    text = ["# What an encode costs", "", INTRODUCTION]
    for title, lines in known.items():
        text += [f"## {title}", *([] if lines[:1] == [""] else [""]), *lines]
    RESULTS.write_text("\n".join(text).rstrip() + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", nargs="*", type=Path, help="films of your own, with sound; by default two are made")
    parser.add_argument("--quick", action="store_true", help="15 seconds and one round, for a glance")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", default="compare,profile,scaling", help="which of these to do")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    seconds = _QUICK if arguments.quick else _FULL
    with tempfile.TemporaryDirectory(prefix="amphipod-bench-") as name:
        scratch = Path(name)
        os.environ["AMPHIPOD_JOBS_ROOT"] = str(scratch / "jobs")
        paths = [path.resolve() for path in arguments.films] or [
            media.lecture(scratch / "lecture.mp4", seconds),
            media.camera(scratch / "camera.mp4", seconds),
        ]
        films = [Film(path, probe(path)) for path in paths]
        sections = {"Machine": list(machine())}
        if "compare" in parts:
            for film in films:
                runs = compare(film, 1 if arguments.quick else arguments.rounds, scratch)
                sections[f"{film.path.stem}, {film.seconds} s"] = list(comparison(runs))
        if "profile" in parts:
            sections["Where the time goes"] = list(profile_table(profiles(films, scratch)))
        if "scaling" in parts and not arguments.quick:
            sections["Films of other lengths"] = list(scaling_table(scaling(films[0], scratch)))
    for title, lines in sections.items():
        print(f"## {title}\n\n" + "\n".join(lines))
    if not arguments.films and not arguments.quick:
        write(sections)


if __name__ == "__main__":
    main()
