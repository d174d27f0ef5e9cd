"""The picture side of the one decode: upright, scaled once for each rendition, stamped, handed out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from plugins.encode.film import PATIENCE, Film, Scene
from plugins.encode.video.filters import HD_HEIGHT, Filters, filters_for
from plugins.encode.video.still import StillFilter
from plugins.encode.video.timeline import Timeline
from plugins.media.decoding import damage

if TYPE_CHECKING:
    from plugins.encode.output.thumbnails import Stills
    from plugins.encode.profiles import Profile
    from plugins.encode.source.video_track import VideoTrack
    from plugins.encode.video.encoder import RenditionEncoder
    from plugins.encode.video.ladder import Rendition

#: Time stamps within 2 ms are one: WebM counts milliseconds, and people cut at what a player shows.
INSTANT = Fraction(2, 1000)


class Scaler:
    """Brings frames to one size and to 8 bits of 4:2:0, from a scaler that is set up once."""

    def __init__(self, rendition: Rendition) -> None:
        self._width, self._height = rendition.width, rendition.height
        self._reformatter = VideoReformatter()

    def scale(self, frame: VideoFrame) -> VideoFrame:
        """Return the scaled frame; the same one when there is nothing to do. Raises Damaged for one of no use."""
        is_full_range = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        matrix = Colorspace.ITU709 if self._height >= HD_HEIGHT else Colorspace.ITU601
        with damage():
            return self._reformatter.reformat(
                frame,
                self._width,
                self._height,
                "yuv420p",
                # libav's default is bilinear, its command line's bicubic.
                interpolation=Interpolation.BICUBIC,
                # Slices in threads cost more than they bring: the other cores have x264 to run.
                threads=1,
                dst_color_range=ColorRange.MPEG if is_full_range else None,
                dst_colorspace=matrix if frame.format.is_rgb else None,
            )


class TimeWindow:
    """Lets the frames of a scene pass; the one that is shown when it opens comes at that very time.

    Times are those of the source, in seconds after its first picture or sound.
    """

    def __init__(self, scene: Scene) -> None:
        self._origin = scene.media.origin
        self._start, self._end = scene.start, scene.end
        self._before: VideoFrame | None = None

    def look(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        if frame.pts is None or frame.time_base is None:
            yield frame
            return
        time = frame.pts * frame.time_base - self._origin
        if time < self._start - INSTANT:
            self._before = frame
            return
        yield from self._opening(time)
        if self._end is None:
            yield frame
        elif time < self._end - INSTANT:
            frame.duration = min(frame.duration, math.ceil((self._end - time) / frame.time_base))
            yield frame

    def close(self) -> Iterator[VideoFrame]:
        """Yield the one frame that is shown all the while, if the next would have come too late."""
        yield from self._opening(self._end)

    def _opening(self, next_time: Fraction | None) -> Iterator[VideoFrame]:
        frame, self._before = self._before, None
        if frame and frame.time_base and self._start and (next_time is None or next_time > self._start + INSTANT):
            frame.pts = math.ceil((self._start + self._origin) / frame.time_base)
            frame.duration = round(((next_time or self._start) - self._start) / frame.time_base)
            yield frame


class Thinner:
    """Keeps one frame of several, by time, so that a varying rate is only capped."""

    def __init__(self, track: VideoTrack) -> None:
        self._gap = (track.keep_one_in - Fraction(1, 2)) / (track.rate * track.keep_one_in)
        self._last: Fraction | None = None

    def keeps(self, frame: VideoFrame) -> bool:
        time = (frame.pts or 0) * (frame.time_base or Fraction(0))
        if self._last is not None and 0 <= time - self._last < self._gap:
            return False
        self._last = time
        return True


class Twins:
    """Makes a second frame of a picture, because each encoder writes its clock into the frame that it is given."""

    def __init__(self) -> None:
        self._filters = Filters([("null", None)])

    def copy(self, frame: VideoFrame) -> VideoFrame:
        kind, stamp, clock, duration = frame.pict_type, frame.pts, frame.time_base, frame.duration
        (twin,) = self._filters.put(frame)
        twin.pict_type, twin.pts, twin.time_base, twin.duration = kind, stamp, clock, duration
        return twin


def black(width: int, height: int) -> VideoFrame:
    frame = VideoFrame(width, height, "yuv420p")
    for plane, level in zip(frame.planes, (16, 128, 128), strict=True):
        plane.update(bytes([level]) * plane.buffer_size)
    return frame


def dark(track: VideoTrack, start: Fraction, end: Fraction, shift: Fraction) -> Iterator[VideoFrame]:
    """Yield a black picture a second between two times of the film.

    :param shift: what the film's clock takes off each time stamp.
    """
    for second in range(math.ceil(end - start)):
        frame = black(track.width, track.height)
        frame.time_base = track.time_base
        frame.pts = round((start + second + shift) / track.time_base)
        frame.duration = round(min(Fraction(1), end - start - second) / track.time_base)
        yield frame


class Pictures:
    """Gives each decoded frame to every encoder, in its size, and to the stills."""

    def __init__(
        self, film: Film, profile: Profile, encoders: Sequence[RenditionEncoder], stills: Stills | None, workdir: Path
    ) -> None:
        assert film.media.video
        self._frame = film.media.video
        self._workdir = workdir
        self.timeline = Timeline(profile.keyframe_seconds, self._frame.rate, self._frame.time_base)
        # Largest first, for the cascade; the last one's frames are also the stills'.
        self._encoders = [(encoder, Scaler(encoder.rendition)) for encoder in reversed(encoders)]
        self._cascade = profile.cascade
        self._still = StillFilter(profile.unchanged, profile.keyframe_seconds, self._frame.rate)
        self._twins = Twins()
        self._stills = stills
        self._held: VideoFrame | None = None
        self.begin(film.scenes[0])

    def begin(self, scene: Scene) -> None:
        """Frames are this scene's from here on."""
        assert scene.media.video
        self.timeline.shift = scene.shift
        self._window = TimeWindow(scene) if scene.start or scene.end is not None else None
        self._thinner = Thinner(scene.media.video) if scene.media.video.keep_one_in > 1 else None
        self._filters = filters_for(scene, self._frame, self._workdir)
        first = scene.media.video.begins - scene.shift
        is_late = first > scene.at + PATIENCE and scene.media.can_seek
        self._dark = dark(self._frame, scene.at, first, scene.shift) if is_late else iter(())
        self._dark_until = scene.at

    def wait(self, until: Fraction | float) -> None:
        """Show black up to a time of the film, unless the scene's pictures have begun."""
        while self._dark_until < until and (frame := next(self._dark, None)):
            self._hand_out(frame)
            self._dark_until += 1

    def take(self, frames: Iterable[VideoFrame]) -> None:
        self.wait(math.inf)
        for frame in frames:
            if self._window:
                for seen in self._window.look(frame):
                    self._prepare(seen)
            else:
                self._prepare(frame)

    def _prepare(self, frame: VideoFrame) -> None:
        if self._thinner and not self._thinner.keeps(frame):
            return
        if self._filters:
            for ready in self._filters.put(frame):
                self._hand_out(ready)
        else:
            self._hand_out(frame)

    def end_scene(self) -> None:
        """Hand out what filters hold back."""
        for frame in self._window.close() if self._window else ():
            self._prepare(frame)
        for frame in self._filters.flush() if self._filters else ():
            self._hand_out(frame)

    def _hand_out(self, frame: VideoFrame) -> None:
        self.timeline.stamp(frame)
        for changed in self._still.put(frame):
            self._scale(changed)

    def _scale(self, frame: VideoFrame) -> None:
        assert frame.pts is not None
        assert frame.time_base is not None
        time = float(frame.pts * frame.time_base)
        # All scaling comes before the first hand-over: it writes into the frame it reads, maybe an encoder's.
        scaled: list[VideoFrame] = []
        above = frame
        for _, scaler in self._encoders:
            picture = scaler.scale(above if self._cascade else frame)
            if any(picture is other for other in scaled):
                picture = self._twins.copy(picture)
            scaled.append(picture)
            above = picture
        # A still is the frame shown at a time, known when the next one comes; until then the smallest is held back.
        self._release(time)
        self._held = scaled.pop()
        for (encoder, _), picture in zip(self._encoders, scaled, strict=False):
            encoder.put(picture)

    def finish(self) -> None:
        self.end_scene()
        for last in self._still.flush():
            self._scale(last)
        self._release(float("inf"))

    def _release(self, until: float) -> None:
        if self._held is not None:
            if self._stills:
                self._stills.show(self._held, until)
            self._encoders[-1][0].put(self._held)
            self._held = None
