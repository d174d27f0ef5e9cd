"""Sound made louder or softer, and kept from clipping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from av.filter import Graph

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame


#: Sample peak that is let through, 1.5 dB below full scale: between samples a signal may rise by half a decibel.
_LIMIT = 0.841


class Gain:
    """Makes sound louder or softer, and holds back what would then clip."""

    def __init__(self, decibels: float) -> None:
        self._decibels = decibels
        self._graph: Graph | None = None

    def put(self, frame: AudioFrame) -> list[AudioFrame]:
        if self._graph is None:
            self._graph = graph = Graph()
            source = graph.add_abuffer(
                format=frame.format.name, sample_rate=frame.sample_rate, layout=frame.layout.name
            )
            volume = graph.add("volume", f"{self._decibels}dB")
            limiter = graph.add("alimiter", f"limit={_LIMIT}:level=0:latency=1")
            form = graph.add("aformat", "sample_fmts=fltp")
            graph.link_nodes(source, volume, limiter, form, graph.add("abuffersink")).configure()
        self._graph.push(frame)
        return pulled(self._graph)

    def flush(self) -> list[AudioFrame]:
        if self._graph is None:
            return []
        self._graph.push(None)
        return pulled(self._graph)


def pulled(graph: Graph) -> list[AudioFrame]:
    frames = []
    while True:
        try:
            frames.append(graph.pull())
        except (BlockingIOError, EOFError):
            return frames  # type: ignore[return-value]
