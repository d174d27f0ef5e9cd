"""Writes the lecture's title into each MP4, whichever encoder made it."""

from collections.abc import Generator
from pathlib import Path

from core import Context, Job, StepOutput, hookimpl


@hookimpl(wrapper=True)
def encode(job: Job, context: Context) -> Generator[None, StepOutput | None, StepOutput | None]:
    output = yield
    if output is None:  # this engine declined
        return None
    title = str(job.attributes.get("title", job.source.path.stem))
    for artifact in output.artifacts:
        if artifact.kind == "rendition":
            _entitle(context.output / artifact.path, context.workdir / "titled.mp4", title)
    return output.model_copy(update={"notes": (*output.notes, f"the films are called {title}")})


def _entitle(film: Path, copy: Path, title: str) -> None:
    import av  # here, not above: `amphipod plugins` must not load it

    with av.open(str(film)) as source, av.open(str(copy), "w", options={"movflags": "faststart"}) as target:
        target.metadata["title"] = title
        streams = [target.add_stream_from_template(stream) for stream in source.streams.get()]
        for packet in source.demux():
            if packet.dts is not None:  # the last one of each stream is empty
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    copy.replace(film)
