"""The picture side of the one decode: upright, scaled once for each rendition, stamped, handed out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from av.filter import Graph
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from plugins.encode.ladder import Rendition
    from plugins.encode.lane import Lane
    from plugins.encode.probe import Media
    from plugins.encode.profiles import Profile
    from plugins.encode.stills import Stills

#: From this height on a picture without tags is taken as BT.709, below as BT.601.
_HD_HEIGHT = 720

#: libavfilter's filters, with their arguments, by degrees clockwise.
_TURNS: dict[int, list[tuple[str, str | None]]] = {
    90: [("transpose", "clock")],
    180: [("hflip", None), ("vflip", None)],
    270: [("transpose", "cclock")],
}


class Scaler:
    """Brings frames to one size and to 8 bits of 4:2:0, from a scaler that is set up once."""

    def __init__(self, rendition: Rendition) -> None:
        self._width, self._height = rendition.width, rendition.height
        self._reformatter = VideoReformatter()

    def scale(self, frame: VideoFrame) -> VideoFrame:
        """Return the scaled frame; the same one when there is nothing to do."""
        is_full_range = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        matrix = Colorspace.ITU709 if self._height >= _HD_HEIGHT else Colorspace.ITU601
        return self._reformatter.reformat(
            frame,
            self._width,
            self._height,
            "yuv420p",
            # libav's default is bilinear, its command line's bicubic.
            interpolation=Interpolation.BICUBIC,
            dst_color_range=ColorRange.MPEG if is_full_range else None,
            dst_colorspace=matrix if frame.format.is_rgb else None,
        )


class Turner:
    """Turns frames upright, clockwise by the degrees that the container asks of a player."""

    def __init__(self, turn: int) -> None:
        self._filters = _TURNS[turn]
        self._graph: Graph | None = None
        self._form: tuple[int, int, str] | None = None

    def upright(self, frame: VideoFrame) -> VideoFrame:
        form = frame.width, frame.height, frame.format.name
        if self._graph is None or form != self._form:
            self._form, self._graph = form, Graph()
            source = self._graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
            )
            filters = [self._graph.add(name, argument) for name, argument in self._filters]
            self._graph.link_nodes(source, *filters, self._graph.add("buffersink")).configure()
        self._graph.vpush(frame)
        return self._graph.vpull()


class Timeline:
    """Output time stamps: the source's, from zero, strictly increasing; and where keyframes go."""

    def __init__(self, origin: Fraction, keyframe_seconds: float, rate: Fraction) -> None:
        self._origin = origin
        self._interval = Fraction(keyframe_seconds).limit_denominator(1000)
        self._rate = rate
        self._last: int | None = None
        self._next_keyframe = Fraction(0)
        self._per_second: Counter[int] = Counter()
        self._frames = 0
        self._begin: float | None = None
        #: Seconds at which the last frame ends.
        self.end = 0.0

    def stamp(self, frame: VideoFrame) -> float:
        """Set a frame's time stamp and its type, and return its time in seconds."""
        assert frame.time_base is not None
        duration = frame.duration or max(round(1 / self._rate / frame.time_base), 1)
        pts = None if frame.pts is None else frame.pts - round(self._origin / frame.time_base)
        if self._last is not None and (pts is None or pts <= self._last):
            pts = self._last + (duration if pts is None else 1)
        self._last = frame.pts = pts or 0
        frame.duration = duration
        time = frame.pts * frame.time_base
        # x264 would keep to the types that the source's encoder chose.
        frame.pict_type = PictureType.NONE
        if time >= self._next_keyframe:
            frame.pict_type = PictureType.I
            self._next_keyframe = (time // self._interval + 1) * self._interval
        self.count(time, duration * frame.time_base)
        return float(time)

    def count(self, time: Fraction, duration: Fraction) -> None:
        """Take note of a frame's time and duration in seconds."""
        self._frames += 1
        self._per_second[int(time)] += 1
        self.end = float(time + duration)
        if self._begin is None:
            self._begin = float(time)

    @property
    def rate(self) -> Fraction:
        """The frame rate if it is constant, as the source states it; else the most frames in a second."""
        shown = self.end - (self._begin or 0.0)
        mean = self._frames / shown if shown else 0.0
        if abs(mean - float(self._rate)) < float(self._rate) / 50:
            return self._rate
        return Fraction(max(self._per_second.values(), default=0))


class Pictures:
    """Gives each decoded frame to every lane, in its size, and to the stills."""

    def __init__(self, media: Media, profile: Profile, lanes: Sequence[Lane], stills: Stills | None) -> None:
        assert media.video
        self.timeline = Timeline(media.origin, profile.keyframe_seconds, media.video.rate)
        self._turner = Turner(media.video.turn) if media.video.turn else None
        # Largest first, for the cascade; the last one's frames are also the stills'.
        self._lanes = [(lane, Scaler(lane.rendition)) for lane in reversed(lanes)]
        self._cascade = profile.cascade
        self._stills = stills
        self._held: VideoFrame | None = None

    def take(self, frames: Iterable[VideoFrame]) -> None:
        for frame in frames:
            self._hand_out(frame)

    def _hand_out(self, frame: VideoFrame) -> None:
        if self._turner:
            frame = self._turner.upright(frame)
        time = self.timeline.stamp(frame)
        # All scaling comes before the first hand-over: it writes into the frame that it reads, which may be a lane's.
        scaled, above = [], frame
        for _, scaler in self._lanes:
            picture = scaler.scale(above if self._cascade else frame)
            scaled.append(picture)
            above = picture
        # A still is the frame shown at a time, known when the next one comes; until then the smallest is held back.
        self._release(time)
        self._held = scaled.pop()
        for (lane, _), picture in zip(self._lanes, scaled, strict=False):
            lane.put(picture)

    def finish(self, until: float = float("inf")) -> None:
        """Hand out what is left; the last frame is shown until then."""
        self._release(until)

    def _release(self, until: float) -> None:
        if self._held is not None:
            if self._stills:
                self._stills.show(self._held, until)
            self._lanes[-1][0].put(self._held)
            self._held = None
