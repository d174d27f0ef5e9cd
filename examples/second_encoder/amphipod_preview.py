"""One small silent MP4 to look at, from the same PyAV that the built-in encoder uses."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from core import Artifact, BadSource, Context, Source, StepOutput, hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping


class Options(BaseModel):
    """What a job may ask of this encoder: `--option height=240`."""

    height: int = Field(default=180, ge=16, le=1080, multiple_of=2)


@hookimpl
def options_schema(step: str) -> type[BaseModel] | None:
    return Options if step == "encode" else None


@hookimpl
def encode(source: Source, options: Mapping[str, Any], context: Context) -> StepOutput:
    import av  # here, not above: `amphipod plugins` must not load it

    height: int = options["height"]
    target = context.output / f"preview_{height}p.mp4"
    with av.open(str(source.path)) as film, av.open(str(target), "w", options={"movflags": "faststart"}) as preview:
        if not film.streams.video:
            raise BadSource(f"{source.path.name}: has no pictures")
        pictures = film.streams.video[0]
        video = preview.add_stream("libx264", pictures.average_rate, options={"preset": "veryfast", "crf": "26"})
        video.height, video.width = height, round(pictures.width * height / pictures.height / 2) * 2
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = pictures.time_base or Fraction(1, 90_000)
        for frame in film.decode(pictures):
            context.raise_if_cancelled()
            preview.mux(video.encode(frame.reformat(video.width, height, "yuv420p")))
            context.progress(frame.time, (film.duration or 0) / av.time_base)
        preview.mux(video.encode())
        size = {"width": video.width, "height": height}
    return StepOutput(artifacts=(Artifact(kind="rendition", path=target.name, media_type="video/mp4", **size),))
