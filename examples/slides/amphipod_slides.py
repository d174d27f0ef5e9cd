"""A step of its own, `slides`: when the slide changes, a picture of each, what is written there, and chapters."""

from __future__ import annotations

import html
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from core import Artifact, Context, Manifest, PluginUnavailable, StepOutput, StepSpec, hookimpl

if TYPE_CHECKING:
    import av
    import numpy as np

#: Of 256 shades, by which a pixel differs that is drawn otherwise; below it is noise and the encoder's doing.
_SHADES = 24

#: Size in which pictures are compared.
_SMALL = (192, 108)


class Options(BaseModel):
    """What a job may ask: `--option slide_seconds=5`."""

    #: A slide that is shown for less is only passed over.
    slide_seconds: float = Field(default=2.0, ge=0.5, le=600)
    #: Share of the picture that differs from one slide to the next.
    slide_share: float = Field(default=0.015, gt=0, le=1)


@dataclass
class Slide:
    """From `start` to `end`, in seconds of the film; its picture is one of its last."""

    start: float
    end: float
    picture: Any
    lines: list[str]


@hookimpl
def configure() -> None:
    import importlib.util

    if importlib.util.find_spec("rapidocr") is None:
        raise PluginUnavailable("pip install rapidocr onnxruntime", step="slides")


@hookimpl
def register_steps() -> Sequence[StepSpec]:
    return [
        StepSpec(
            name="slides",
            queue="slides",
            needs=("compose", "encode"),
            summary="find the slides and read them",
            doing="looking for slides",
        )
    ]


@hookimpl
def options_schema(step: str) -> type[BaseModel] | None:
    return Options if step == "slides" else None


@hookimpl
def file_names(step: str) -> list[str] | None:
    return ["slide_*.jpg", "slides.vtt", "slides_chapters.vtt"] if step == "slides" else None


@hookimpl
def run_step(manifest: Manifest, options: dict[str, Any], context: Context) -> StepOutput | None:
    made = manifest.steps.get("encode")
    films = [one for one in manifest.find("rendition") if one.height and one.path.endswith(".mp4")]
    if not films or made is None or made.folder is None:
        return StepOutput(notes=("there is no film, hence no slide",))
    best = max(films, key=lambda one: one.height or 0)
    slides = list(find(context.job_folder / made.folder / best.path, options, context))
    context.doing("reading the slides")
    read(slides, context)
    return StepOutput(artifacts=tuple(_write(slides, context.output)), facts={"slides": len(slides)})


def find(path: Path, options: dict[str, Any], context: Context) -> Iterator[Slide]:
    """Yield the slides of a film, by two looks a second: a change that stays is a new one."""
    shown: Slide | None = None
    before: Any = None
    reference: Any = None
    changed_at = 0.0
    for time, frame in _looks(path, context):
        small = frame.reformat(*_SMALL, "gray").to_ndarray().astype("int16")
        if shown is None:
            shown, before, reference = Slide(0.0, time, frame, []), small, small
            continue
        if differs(small, before) > options["slide_share"]:
            changed_at = time  # it still moves
        elif differs(small, reference) <= options["slide_share"]:
            shown.end, shown.picture, changed_at = time, frame, time
        elif time - changed_at >= options["slide_seconds"]:
            shown.end = changed_at
            yield shown
            shown, reference = Slide(changed_at, time, frame, []), small
        before = small
    if shown:
        shown.end = max(shown.end, time)
        yield shown


def differs(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Return the share of two small grey pictures that is drawn otherwise."""
    return float((abs(one - other) > _SHADES).mean())


def _looks(path: Path, context: Context) -> Iterator[tuple[float, av.VideoFrame]]:
    import av

    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        stream.thread_type = "AUTO"
        length, due = float(film.duration or 0) / av.time_base, 0.0
        for frame in film.decode(stream):
            time = frame.time or 0.0
            if time >= due:
                context.raise_if_cancelled()
                context.progress(time, length)
                yield time, frame
                due = time + 0.5


def read(slides: Sequence[Slide], context: Context) -> None:
    """Fill in what is written on the slides, from top to bottom."""
    from rapidocr import RapidOCR

    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    reader = RapidOCR(params={"Global.log_level": "error"})
    for number, slide in enumerate(slides):
        context.raise_if_cancelled()
        found = reader(slide.picture.to_ndarray(format="bgr24"))
        slide.lines = [line.strip() for line in found.txts or () if line.strip()]
        context.doing(f"reading slide {number + 1} of {len(slides)}")


def title(slide: Slide, slides: Sequence[Slide]) -> str | None:
    """Return a slide's first words that are not on most of the others too, as a header is, nor a page's number."""
    often = {line for line in slide.lines if 2 * sum(line in one.lines for one in slides) > len(slides) > 2}
    return next((line for line in slide.lines if line not in often and any(map(str.isalpha, line))), None)


def _write(slides: Sequence[Slide], folder: Path) -> Iterator[Artifact]:
    cues, chapters = [], []
    for number, slide in enumerate(slides, 1):
        name = f"slide_{number:03}.jpg"
        slide.picture.to_image().save(folder / name, quality=90)
        size = {"width": slide.picture.width, "height": slide.picture.height}
        yield Artifact(kind="other", path=name, media_type="image/jpeg", **size)
        times = f"{_clock(slide.start)} --> {_clock(slide.end)}"
        said = html.escape("\n".join(slide.lines), quote=False)
        cues.append(f"{name}\n{times}\n{said}\n")
        chapters.append(f"{times}\n{html.escape(title(slide, slides) or f'Slide {number}', quote=False)}\n")
    for name, kind, parts in (("slides.vtt", "other", cues), ("slides_chapters.vtt", "chapters", chapters)):
        (folder / name).write_text("WEBVTT\n\n" + "\n".join(parts), encoding="utf-8")
        yield Artifact(kind=kind, path=name, media_type="text/vtt")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours:02}:{minutes:02}:{rest:06.3f}"
