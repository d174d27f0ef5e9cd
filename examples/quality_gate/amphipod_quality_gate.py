"""A step of its own, `quality_gate`: pictures of the best film beside those of the source, and a bar for the worst."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from core import BadSource, Context, Job, Manifest, StepOutput, StepSpec, hookimpl

if TYPE_CHECKING:
    import av
    import numpy as np

#: Seconds by which a film may be shorter or longer than its source and still show the same at the same time.
_SAME = 1.0


class Options(BaseModel):
    """What a job may ask of the gate: `--option least_ssim=0.95`."""

    #: Of the luma, averaged over a picture; 1 is the source itself.
    least_ssim: float = Field(default=0.9, gt=0, le=1)
    #: Pictures that are compared.
    pictures: int = Field(default=12, ge=1, le=500)


@hookimpl
def register_steps() -> Sequence[StepSpec]:
    return [
        StepSpec(
            name="quality_gate",
            queue="quality",
            needs=("compose", "encode"),
            summary="fail a job whose film looks worse than it may",
            doing="comparing pictures",
        )
    ]


@hookimpl
def options_schema(step: str) -> type[BaseModel] | None:
    return Options if step == "quality_gate" else None


@hookimpl
def run_step(job: Job, manifest: Manifest, options: dict[str, Any], context: Context) -> StepOutput:
    made = manifest.steps.get("encode")
    films = [one for one in manifest.find("rendition") if one.height and one.path.endswith(".mp4")]
    if not films or made is None or made.folder is None:
        return StepOutput(notes=("no film was made, so none was compared",))
    best = max(films, key=lambda one: one.height or 0)
    source = context.made("film") or job.source.path
    return _compare(source, context.job_folder / made.folder / best.path, options, context)


def _compare(source: Path, film: Path, options: dict[str, Any], context: Context) -> StepOutput:
    length, other = _length(source), _length(film)
    if abs(length - other) > _SAME:
        return StepOutput(notes=(f"the film has {other:.1f} s, its source {length:.1f} s: they were not compared",))
    count = options["pictures"]
    times = [length * (number + 0.5) / count for number in range(count)]
    worst, at = 1.0, 0.0
    for number, (time, ours, theirs) in enumerate(_pairs(source, film, times)):
        context.raise_if_cancelled()
        # A picture's time may be rounded to the one before or after it.
        found = max(ssim(ours, one) for one in theirs)
        worst, at = min((worst, at), (found, time))
        context.progress(number + 1, count)
    if worst < options["least_ssim"]:
        asked = options["least_ssim"]
        raise BadSource(
            f"{film.name} looks worse than it may at second {at:.1f}: luma SSIM {worst:.3f}, not {asked}",
            remedy="encode it with a lower crf, or lower the option least_ssim",
        )
    return StepOutput(facts={"ssim": round(worst, 4), "at": round(at, 2), "pictures": count})


def ssim(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Return the mean structural similarity of two planes of 8 bits over blocks of 8 x 8 (Wang et al. 2004)."""
    import numpy as np

    height, width = (size // 8 * 8 for size in one.shape)

    def blocks(plane: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        cut = plane[:height, :width].astype(np.float64)
        return cut.reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2).reshape(-1, 64)

    a, b = blocks(one), blocks(other)
    mean_a, mean_b = a.mean(axis=1), b.mean(axis=1)
    covariance = (a * b).mean(axis=1) - mean_a * mean_b
    first, second = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    likeness = (2 * mean_a * mean_b + first) * (2 * covariance + second)
    return float(np.mean(likeness / ((mean_a**2 + mean_b**2 + first) * (a.var(axis=1) + b.var(axis=1) + second))))


def _pairs(
    source: Path, film: Path, times: Sequence[float]
) -> Iterator[tuple[float, np.ndarray[Any, Any], list[np.ndarray[Any, Any]]]]:
    """Yield, for each time, the film's picture and those of the source around it, in the film's size."""
    import av

    with av.open(str(film)) as ours, av.open(str(source)) as theirs:
        for time in times:
            shown = next(_frames(ours, time))[1]
            near = []
            for begin, frame in _frames(theirs, max(time - 0.1, 0)):
                near.append(frame.reformat(shown.width, shown.height, "gray").to_ndarray())
                if begin > time + 0.05:
                    break
            yield time, shown.reformat(format="gray").to_ndarray(), near


def _frames(container: av.container.InputContainer, time: float) -> Iterator[tuple[float, av.VideoFrame]]:
    """Yield the pictures from a time on, each with its own, in seconds from the first one's."""
    stream = container.streams.video[0]
    assert stream.time_base
    start = stream.start_time or 0
    container.seek(start + int(time / stream.time_base), stream=stream)
    last = None
    for frame in container.decode(stream):
        at = float((frame.pts or 0) - start) * float(stream.time_base)
        if at >= time:
            yield at, frame
        last = at, frame
    if last:  # the end of the film
        yield last


def _length(path: Path) -> float:
    import av

    with av.open(str(path)) as container:
        return float(container.duration or 0) / av.time_base
