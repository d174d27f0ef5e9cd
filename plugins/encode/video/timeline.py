"""When each picture of the film is shown, and which of them are keyframes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from av.video.frame import PictureType

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


@dataclass
class FrameCount:
    """How many frames are shown, and when. Times in seconds of the film."""

    frames: int = 0
    begin: float | None = None
    #: Where the last frame ends.
    end: float = 0.0
    per_second: Counter[int] = field(default_factory=Counter)

    def add(self, time: Fraction, duration: Fraction) -> None:
        self.frames += 1
        self.per_second[int(time)] += 1
        self.end = float(time + duration)
        if self.begin is None:
            self.begin = float(time)

    def rate(self, stated: Fraction) -> Fraction:
        """Return the frame rate if it is constant, as the source states it; else the most frames in a second."""
        shown = self.end - (self.begin or 0.0)
        mean = self.frames / shown if shown else 0.0
        if abs(mean - float(stated)) < float(stated) / 50:
            return stated
        return Fraction(max(self.per_second.values(), default=0))

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a part tells of its frames; `add_facts` reads it again."""
        return {"frames": self.frames, "begin": self.begin, "end": self.end, "per_second": [*self.per_second.items()]}

    def add_facts(self, facts: Mapping[str, Any]) -> None:
        """Add the frames of the next part."""
        self.frames += facts["frames"]
        self.begin = facts["begin"] if self.begin is None else self.begin
        self.end = max(self.end, facts["end"])
        self.per_second.update(dict(facts["per_second"]))


class Timeline:
    """Output time stamps: the source's, shifted, strictly increasing; and where keyframes go."""

    def __init__(self, keyframe_seconds: float, rate: Fraction, clock: Fraction, shift: Fraction = Fraction(0)) -> None:
        #: Seconds to take off a frame's own time stamp.
        self.shift = shift
        self._clock = clock
        self._interval = Fraction(keyframe_seconds).limit_denominator(1000)
        self._rate = rate
        self._last: int | None = None
        self._next_keyframe = Fraction(0)
        self._own: tuple[Fraction | None, Fraction | None] = (None, None)
        #: Of the frames that `keep` leaves.
        self.count = FrameCount()
        #: Seconds at which the last frame ends.
        self.end = 0.0

    def keep(self, start: Fraction | None, end: Fraction | None) -> None:
        """Leave to other parts to count what is shown before or after these times in seconds."""
        self._own = start, end

    def stamp(self, frame: VideoFrame) -> float:
        """Set a frame's time stamp and its type, and return its time in seconds."""
        if frame.time_base != self._clock:
            _change_clock(frame, self._clock)
        assert frame.time_base is not None
        duration = frame.duration or max(round(1 / self._rate / frame.time_base), 1)
        pts = None if frame.pts is None else frame.pts - round(self.shift / frame.time_base)
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
        self.end = float(time + duration * frame.time_base)
        start, end = self._own
        if (start is None or time >= start) and (end is None or time < end):
            self.count.add(time, duration * frame.time_base)
        return float(time)

    @property
    def rate(self) -> Fraction:
        """Frames a second of what is counted."""
        return self.count.rate(self._rate)


def _change_clock(frame: VideoFrame, clock: Fraction) -> None:
    """Give a frame of another source, or of a filter that counts finer, the film's clock."""
    own = frame.time_base
    if own:
        frame.duration = round(frame.duration * own / clock)
        frame.pts = None if frame.pts is None else round(frame.pts * own / clock)
    frame.time_base = clock
