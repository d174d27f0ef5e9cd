"""The studio's takes on one clock, and the one picture that is made of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING

from av.filter import Graph

from plugins.encode.source.reader import Reading, open_scene, scene_packets
from plugins.encode.source.tracks import Track, Tracks
from plugins.encode.video.filters import Filters, fitting, upright
from plugins.encode.video.pictures import INSTANT, TimeWindow, black
from plugins.media.decoding import Damaged

if TYPE_CHECKING:
    from av.filter.context import FilterContext
    from av.video.frame import VideoFrame

    from core import Context
    from plugins.encode.audio.track import Sound
    from plugins.encode.film import Scene
    from plugins.encode.source.video_track import VideoTrack

#: Of the picture in the picture (Esup-Pod, encoding_studio.py): its part of the height, and pixels to the edges.
_INSET = 4
_MARGIN = 10


class Take:
    """One source's pictures on the common clock; its sound is handed on as it goes by."""

    def __init__(self, scene: Scene, size: tuple[int, int] | None, sound: Sound | None, context: Context) -> None:
        self.path = scene.media.path
        self._scene = scene
        self._sound = sound
        self._context = context
        track = scene.media.video
        self._filters = (
            Filters([*upright(track, context.workdir), *fitting(track, size, "bt709")]) if size and track else None
        )
        #: What became of the source.
        self.reading = Reading()
        self._frames = self._read()
        self._shown = black(*size) if size else None
        self._has_begun = False
        self._next = next(self._frames, None)

    def at(self, time: Fraction) -> VideoFrame | None:
        """Return what is shown at a time: before the first picture that one, after the last that one.

        Black where there is none in the scene; None for a take that is only heard.
        """
        while self._next and (not self._has_begun or self._next[0] <= time + INSTANT):
            self._shown, self._has_begun = self._next[1], True
            self._next = next(self._frames, None)
        return self._shown

    def finish(self) -> None:
        """Go on to the end, for the sound."""
        for _ in self._frames:
            pass

    def _read(self) -> Iterator[tuple[Fraction, VideoFrame]]:
        scene, media = self._scene, self._scene.media
        window = TimeWindow(scene)
        ready: list[tuple[Fraction, VideoFrame]] = []

        def look(frames: Iterable[VideoFrame]) -> None:
            ready.extend(self._timed(prepared) for frame in frames for prepared in self._prepared(window.look(frame)))

        tracks = {}
        if media.video and self._filters:
            tracks[media.video.index] = Track.of_pictures(media.video, look)
        if media.audio and self._sound:
            tracks[media.audio.index] = Track.of_sound(self._sound.take)
        reading = Tracks(tracks)
        with open_scene(scene, self._context) as container:
            for packet in scene_packets(container, scene, reading.indexes, reading.on_damage):
                self._context.raise_if_cancelled()
                reading.take(packet)
                yield from ready
                ready.clear()
            self.reading.add(reading.damaged, reading.holes(container, scene))
        with suppress(Damaged):
            yield from map(self._timed, self._prepared(window.close()))
            yield from map(self._timed, self._filters.flush() if self._filters else ())

    def _prepared(self, frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        for frame in frames:
            if self._filters:
                yield from self._filters.put(frame)

    def _timed(self, frame: VideoFrame) -> tuple[Fraction, VideoFrame]:
        return self._time(frame), frame

    def _time(self, frame: VideoFrame) -> Fraction:
        return (frame.pts or 0) * (frame.time_base or Fraction(0)) - self._scene.shift


class Stage:
    """Puts the pictures of the takes into one."""

    def __init__(self, layout: str, tracks: Sequence[VideoTrack]) -> None:
        self._graph: Graph | None = None
        self._layout = layout
        if len(tracks) == 1:
            self.sizes = [_even(tracks[0].width, tracks[0].height)]
            self.size = self.sizes[0]
        elif layout == "mid":
            height = min(track.height for track in tracks)
            self.sizes = [_even(height * track.width / track.height, height) for track in tracks]
            self.size = sum(size[0] for size in self.sizes), self.sizes[0][1]
        else:
            below, above = tracks
            self.size = _even(below.width, below.height)
            inset = below.height / _INSET
            self.sizes = [self.size, _even(inset * above.width / above.height, inset)]

    def compose(self, frames: Sequence[VideoFrame], number: int, clock: Fraction) -> VideoFrame:
        """Return a picture of its own, though the takes may show theirs for longer."""
        if self._graph is None:
            self._graph, self._inputs = self._set_up(clock)
        for frame, source in zip(frames, self._inputs, strict=True):
            # One period each, whatever its own take's clock said; the film's last picture keeps it.
            frame.pts, frame.duration, frame.time_base = number, 1, clock
            source.push(frame)
        return self._graph.vpull()

    def _set_up(self, clock: Fraction) -> tuple[Graph, list[FilterContext]]:
        graph = Graph()
        inputs = [
            graph.add("buffer", f"video_size={width}x{height}:pix_fmt=yuv420p:time_base={clock}:colorspace=1:range=1")
            for width, height in self.sizes
        ]
        top = _MARGIN if self._layout == "piph" else f"H-h-{_MARGIN}"
        if len(inputs) == 1:
            mix = graph.add("null")
        elif self._layout == "mid":
            mix = graph.add("hstack")
        else:
            mix = graph.add("overlay", f"x=W-w-{_MARGIN}:y={top}")
        for number, source in enumerate(inputs):
            source.link_to(mix, 0, number)
        mix.link_to(graph.add("buffersink"))
        graph.configure(auto_buffer=False)
        return graph, inputs


def _even(width: float, height: float) -> tuple[int, int]:
    return max(round(width / 2) * 2, 2), max(round(height / 2) * 2, 2)
