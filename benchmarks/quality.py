"""What profile `lecture` costs and how good it looks, beside Esup-Pod's commands on the same films.

    python -m benchmarks.quality                       the table, from ten kinds of clips that are drawn here
    python -m benchmarks.quality FILM|FOLDER...        the same of films of your own, with sound
    python -m benchmarks.quality --sheets FOLDER ...   and pairs of pictures, Pod's left, ours right, at their own size

Processor seconds are those of the commands. Ours looks at samples of a film before it encodes it, which is a small part
of a lecture and a large one of a clip of twelve seconds: so what it takes is told apart, and counted with that share of
it that it has in a film of ten minutes. SSIM and XPSNR are of the luma of each second picture, in decibels;
SSIMULACRA2 is of some, in points. Both are against the source, scaled to the rendition's size by the bicubic filter.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image

from benchmarks import clips, rivals
from benchmarks.measure import run, run_all
from benchmarks.rivals import Film
from plugins.encode.quality.metrics import Comparison, Score
from plugins.encode.source.probe import probe

POD, OURS = ENGINES = "pod", "lecture"

#: Seconds by which time stamps may differ; a transport stream counts coarser than the source.
_INSTANT = 0.005

_SECONDS = 12

#: Seconds of the film in which looking at samples has the share that it has in the table.
_USUAL = 600

#: At how many places of a clip pictures are judged by eyes, or by what stands for them.
_LOOKS = 2

#: Of the table, one picture of so many is measured.
_EVERY = 2

#: Seconds of any stretch for which the rate cap and its buffer (of a second) must hold.
_WINDOW = 2

#: Most of Pod's processor time: of the median, of any clip, of slides that stand still. Most below it in decibels, in
#: points.
MEDIAN_GATE, WORST_GATE, STATIC_GATE = 0.25, 0.40, 0.10
DECIBELS, POINTS = 0.1, 0.5


@dataclass
class Row:
    """One rendition, by engine."""

    name: str
    bytes: dict[str, int] = field(default_factory=dict)
    score: dict[str, Score] = field(default_factory=dict)
    points: dict[str, float] = field(default_factory=dict)
    #: The most bits of ours in any two seconds, of those that the rate cap and its buffer allow.
    fill: float = 0.0

    @property
    def is_as_good(self) -> bool:
        is_seen_so = self.points[OURS] >= self.points[POD] - POINTS
        return is_seen_so and self.score[OURS].as_good_as(self.score[POD], DECIBELS)


@dataclass
class Clip:
    """What came of one film."""

    name: str
    seconds: float
    cpu: dict[str, float] = field(default_factory=dict)
    #: Of ours, what it took to look at samples.
    looking: float = 0.0
    rows: list[Row] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Of Pod's processor time, in a film of ten minutes of this kind."""
        looking = self.looking * min(self.seconds / _USUAL, 1)
        return (self.cpu[OURS] - self.looking + looking) / self.cpu[POD]

    @property
    def size(self) -> float:
        """Of Pod's bytes."""
        return sum(row.bytes[OURS] for row in self.rows) / sum(row.bytes[POD] for row in self.rows)


def judge(source: Path, film: Path) -> tuple[float, float]:
    """Return SSIM and XPSNR of a film's luma against its source, scaled to its size by the bicubic filter.

    :raises ValueError: the film shows nothing at some time of the source.
    """
    comparison = Comparison()
    shown, scaler = Shown(film), VideoReformatter()
    for time, wanted in _frames(source):
        made = shown.at(time)
        reference = scaler.reformat(
            wanted, made.width, made.height, "yuv420p", interpolation=Interpolation.BICUBIC, threads=1
        )
        comparison.add(reference, made)
    return comparison.score.ssim, comparison.score.xpsnr


class Shown:
    """What a film shows, asked for from time to time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames = _frames(path)
        self._now = next(self._frames)
        self._next = next(self._frames, None)

    def at(self, time: float) -> VideoFrame:
        while self._next and self._next[0] <= time + _INSTANT:
            self._now, self._next = self._next, next(self._frames, None)
        if self._now[0] > time + _INSTANT:
            raise ValueError(f"{self._path} shows nothing at {time:.3f} s")
        return self._now[1]


def _frames(path: Path) -> Iterator[tuple[float, VideoFrame]]:
    """Yield pictures and the seconds after the first at which each is shown."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        first = None
        for frame in container.decode(video=0):
            first = frame.time if first is None else first
            yield (frame.time or 0.0) - (first or 0.0), frame


def points(wanted: Image.Image, made: Image.Image, folder: Path) -> float:
    """Return how alike two pictures look, by SSIMULACRA2: 100 is the same, from 90 on nobody sees a difference."""
    from ssimulacra2 import compute_ssimulacra2  # type: ignore[import-untyped]

    paths = folder / "wanted.png", folder / "made.png"
    for picture, path in zip((wanted, made), paths, strict=True):
        picture.save(path, compress_level=0)
    return float(compute_ssimulacra2(*map(str, paths)))


def compare(source: Path, scratch: Path, sheets: Path | None) -> Clip:
    """Encode a film by both, one after the other, and judge what they made."""
    media = probe(source)
    film, clip = Film(source, media), Clip(source.stem, media.duration)
    for engine in ENGINES:
        folder = scratch / engine
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if engine == POD:
            clip.cpu[engine] = run_all(rivals.pod(film), folder).cpu
        else:
            clip.cpu[engine] = run(rivals.amphipod(source, folder, "profile=lecture"), folder).cpu
            clip.looking = _looking(Path(os.environ["AMPHIPOD_JOBS_ROOT"]))
    clip.rows = _judged(film, scratch, sheets)
    return clip


def _judged(film: Film, scratch: Path, sheets: Path | None) -> list[Row]:
    """Judge every rendition of both, with one decode of the source."""
    rows = [Row(rendition.name) for rendition in film.renditions]
    made = {(row.name, engine): next((scratch / engine).rglob(f"{row.name}.ts")) for row in rows for engine in ENGINES}
    shown = {key: Shown(path) for key, path in made.items()}
    scores = {key: Comparison() for key in made}
    looks: dict[tuple[str, str], list[tuple[Image.Image, Image.Image]]] = {key: [] for key in made}
    scalers = {row.name: VideoReformatter() for row in rows}
    for number, is_looked_at, time, wanted in _wanted(film.path):
        if number % _EVERY and not is_looked_at:
            continue
        for row in rows:
            pictures = {engine: shown[row.name, engine].at(time) for engine in ENGINES}
            size = pictures[OURS].width, pictures[OURS].height
            for engine, picture in pictures.items():
                reference = scalers[row.name].reformat(
                    wanted, *size, "yuv420p", interpolation=Interpolation.BICUBIC, threads=1
                )
                if is_looked_at:
                    looks[row.name, engine].append((_image(reference), _image(picture)))
                if not number % _EVERY:
                    scores[row.name, engine].add(reference, picture)
    for row in rows:
        for engine in ENGINES:
            row.bytes[engine] = made[row.name, engine].stat().st_size
            row.score[engine] = scores[row.name, engine].score
            row.points[engine] = statistics.mean(points(*pair, scratch) for pair in looks[row.name, engine])
        spec = next(one.spec for one in film.renditions if one.name == row.name)
        row.fill = busiest(made[row.name, OURS], _WINDOW) / (_WINDOW * spec.max_rate + spec.max_rate)
        if sheets:
            _sheet(looks[row.name, POD], looks[row.name, OURS]).save(sheets / f"{film.path.stem}-{row.name}.png")
    return rows


def busiest(film: Path, seconds: float) -> int:
    """Return the most bits of pictures in any stretch of so many seconds, by the times of their decoding."""
    with av.open(str(film)) as container:
        packets = [(float(p.dts * p.time_base), p.size * 8) for p in container.demux(video=0) if p.dts is not None]
    most = filled = first = 0
    for time, bits in packets:
        filled += bits
        while packets[first][0] <= time - seconds:
            filled -= packets[first][1]
            first += 1
        most = max(most, filled)
    return most


def _wanted(source: Path) -> Iterator[tuple[int, bool, float, VideoFrame]]:
    """Yield the source's pictures with their number and time, and whether eyes look at them."""
    with av.open(str(source)) as container:
        count = sum(1 for packet in container.demux(video=0) if packet.size)
    looked_at = {int((number + 0.37) * count / _LOOKS) for number in range(_LOOKS)}
    for number, (time, frame) in enumerate(_frames(source)):
        yield number, number in looked_at, time, frame


def _looking(jobs: Path) -> float:
    """Return the processor seconds that the newest manifest says looking at samples took."""
    newest = max(jobs.rglob("manifest.json"), key=lambda path: path.stat().st_mtime)
    facts: dict[str, Any] = json.loads(newest.read_text())["steps"]["encode"]["facts"]
    return float(facts.get("quality", {}).get("cpu_seconds", 0.0))


def _image(frame: VideoFrame) -> Image.Image:
    image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
    return image


def _sheet(
    pods: Sequence[tuple[Image.Image, Image.Image]], ours: Sequence[tuple[Image.Image, Image.Image]]
) -> Image.Image:
    """Put crops side by side at their own size: the source, Pod's, ours; a place a row."""
    width, height = 480, 320
    sheet = Image.new("RGB", (3 * width + 20, _LOOKS * (height + 10)), "#ff00ff")
    for line, (pod, our) in enumerate(zip(pods, ours, strict=True)):
        x, y = _busiest(pod[0], width, height)
        for column, picture in enumerate((pod[0], pod[1], our[1])):
            sheet.paste(picture.crop((x, y, x + width, y + height)), (column * (width + 10), line * (height + 10)))
    return sheet


def _busiest(picture: Image.Image, width: int, height: int) -> tuple[int, int]:
    """Return where a crop has the most edges: text, faces."""
    places = [
        (x, y)
        for x in range(0, max(picture.width - width, 1), width // 2)
        for y in range(0, max(picture.height - height, 1), height // 2)
    ]
    grey = picture.convert("L")
    return max(places, key=lambda place: grey.crop((*place, place[0] + width, place[1] + height)).entropy())


def table(results: Sequence[Clip]) -> Iterator[str]:
    heads = (
        *("clip", "CPU s Pod, ours, of it samples", "x Pod's CPU, of ten minutes", "x Pod's bytes", "rendition"),
        *("SSIM Pod, ours", "XPSNR Pod, ours", "points Pod, ours", ""),
    )
    yield f"| {' | '.join(heads)} |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for clip in results:
        head = (
            f"| {clip.name} | {clip.cpu[POD]:.1f}, {clip.cpu[OURS]:.1f}, {clip.looking:.1f} | {clip.share:.2f} "
            f"| {clip.size:.2f} |"
        )
        for row in clip.rows:
            one, other = row.score[POD], row.score[OURS]
            yield (
                f"{head} {row.name} | {one.ssim:.2f}, {other.ssim:.2f} | {one.xpsnr:.2f}, {other.xpsnr:.2f} "
                f"| {row.points[POD]:.1f}, {row.points[OURS]:.1f} | {'' if row.is_as_good else '**below**'} |"
            )
            head = "| | | | |"
    yield ""


def gates(results: Sequence[Clip]) -> Iterator[str]:
    median = statistics.median(clip.share for clip in results)
    worst = max(results, key=lambda clip: clip.share)
    largest = max(results, key=lambda clip: clip.size)
    yield f"- median CPU {median:.3f} of Pod's, at most {MEDIAN_GATE}: {_verdict(median <= MEDIAN_GATE)}"
    yield f"- most CPU {worst.share:.3f} ({worst.name}), at most {WORST_GATE}: {_verdict(worst.share <= WORST_GATE)}"
    for clip in results:
        if clip.name == "slides":
            yield f"- slides' CPU {clip.share:.3f}, at most {STATIC_GATE}: {_verdict(clip.share <= STATIC_GATE)}"
    yield f"- most bytes {largest.size:.3f} ({largest.name}), at most 1: {_verdict(largest.size <= 1)}"
    below = [f"{clip.name} {row.name}" for clip in results for row in clip.rows if not row.is_as_good]
    fullest, row = max(((clip, row) for clip in results for row in clip.rows), key=lambda pair: pair[1].fill)
    holds = _verdict(row.fill <= 1)
    yield f"- fullest {_WINDOW} s, of cap and buffer: {row.fill:.3f} ({fullest.name} {row.name}), at most 1: {holds}"
    yield f"- below Pod's: {', '.join(below) or 'none'}: {_verdict(not below)}"


def _verdict(holds: bool) -> str:  # noqa: FBT001
    return "holds" if holds else "**missed**"


def _sources(given: Sequence[Path], folder: Path, number: int) -> Iterator[Path]:
    if not given:
        for name in clips.KINDS:
            yield clips.make(name, folder / f"{name}.mp4", _SECONDS, number)
    for path in given:
        yield from sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else (path,)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", nargs="*", type=Path)
    parser.add_argument("--sheets", type=Path, help="a folder for pairs of pictures")
    parser.add_argument("--tuning", action="store_true", help="the clips on which constants were chosen, instead")
    arguments = parser.parse_args()
    results = []
    if arguments.sheets:
        arguments.sheets.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="amphipod-quality-") as name:
        scratch = Path(name)
        os.environ["AMPHIPOD_JOBS_ROOT"] = str(scratch / "jobs")
        for source in _sources(arguments.films, scratch, clips.TUNING if arguments.tuning else clips.TABLE):
            results.append(compare(source, scratch / "work", arguments.sheets))
            print("\n".join([*table(results[-1:])][0 if len(results) == 1 else 2 :]), flush=True)
    print("\n".join(gates(results)))


if __name__ == "__main__":
    main()
