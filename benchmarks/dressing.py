"""What a cut, a dressing and the studio cost beside the plain encode of a film as long.

    python -m benchmarks.dressing [SECONDS] [ROUNDS]

Needs ffmpeg, for the films. CPU seconds (user and system) of processes that encode with profile `pod`, in alternating
rounds. Gates: dressing, cut and studio cost at most 1.10 of the plain encode, because each is one decode and one
encode; a stretch cut out of two hours costs less than 1.5 of a film as long.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

from benchmarks.measure import run
from benchmarks.media import camera, lecture

DEAREST = 1.10
DEAREST_OF_HOURS = 1.5

X264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-c:a", "aac")

#: Encodes or composes in a process of its own, without a host around it.
_ONE = """
import json, sys
from pathlib import Path
import plugins.encode
from core import Source
from core.testing import fake_context, fake_job
about = json.loads(sys.argv[1])
takes = tuple(Source(path=path, role=role) for role, path in about["sources"].items())
job = fake_job(takes[0].path, sources=takes)
context = fake_context(Path(sys.argv[2]) / "job")
if about["step"] == "compose":
    plugins.encode.plugin.compose(job, takes, about["options"], context)
else:
    plugins.encode.plugin.encode(job, takes[0], about["options"], context)
"""

Case = dict[str, object]


def encode(source: Path, **options: object) -> Case:
    return {"step": "encode", "sources": {"lecture": str(source)}, "options": options}


def cost(case: Case) -> float:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(__file__).parents[1]
        command = [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(root)!r}){_ONE}",
            json.dumps(case),
            folder,
        ]
        return run(command, Path(folder)).cpu


def cases(folder: Path, seconds: int) -> dict[str, tuple[str, Case, float | None]]:
    """Name each case, what it is compared with, and the gate."""
    film = lecture(folder / "lecture.mp4", seconds)
    longer = lecture(folder / "longer.mp4", seconds * 2)
    middle = lecture(folder / "middle.mp4", seconds - 10)
    credit = str(lecture(folder / "credit.mp4", 5))
    start = seconds / 2 + 5
    stretch = ffmpeg(folder / "stretch.mp4", "-ss", str(start), "-i", str(longer), "-t", str(seconds), *X264)
    hours = ffmpeg(folder / "hours.mp4", "-stream_loop", "-1", "-i", str(film), "-t", "7200", "-c", "copy")
    logo = folder / "logo.png"
    image = Image.new("RGBA", (300, 150), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((0, 0, 299, 149), fill=(200, 30, 30, 255))
    image.save(logo)
    watermark = {"path": str(logo), "opacity": 60}
    takes = {"presenter": str(camera(folder / "camera.mp4", seconds)), "presentation": str(film)}

    def compose(layout: str) -> Case:
        return {"step": "compose", "sources": takes, "options": {"layout": layout}}

    return {
        "plain": ("plain", encode(film), None),
        "watermark": ("plain", encode(film, dressing={"watermark": watermark}), DEAREST),
        "watermark and credits": (
            "plain",
            encode(middle, dressing={"watermark": watermark, "opening": credit, "ending": credit}),
            DEAREST,
        ),
        "plain, another stretch": ("plain, another stretch", encode(stretch), None),
        "that stretch, cut": (
            "plain, another stretch",
            encode(longer, cut_start=start, cut_end=start + seconds),
            DEAREST,
        ),
        "cut out of two hours": ("plain", encode(hours, cut_start=3607, cut_end=3607 + seconds), DEAREST_OF_HOURS),
        "studio, side by side": ("plain", compose("mid"), DEAREST),
        "studio, inset": ("plain", compose("pipb"), DEAREST),
    }


def ffmpeg(path: Path, *arguments: str) -> Path:
    subprocess.run(["ffmpeg", "-v", "error", *arguments, str(path)], check=True)
    return path


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as folder:
        measured = cases(Path(folder), seconds)
        costs: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(rounds):
            for name, (_, case, _) in measured.items():
                costs[name].append(cost(case))
    print(f"{seconds} s at 1080p, profile pod, {rounds} rounds; CPU seconds: median (least to most), ratio, gate")
    failed = False
    for name, (base, _, gate) in measured.items():
        median = statistics.median(costs[name])
        ratio = statistics.median(a / b for a, b in zip(costs[name], costs[base], strict=True))
        failed |= gate is not None and ratio > gate
        verdict = f"<= {gate:.2f}" if gate else ""
        print(f"{name:30} {median:7.1f} ({min(costs[name]):.1f} to {max(costs[name]):.1f})  {ratio:5.2f}  {verdict}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
