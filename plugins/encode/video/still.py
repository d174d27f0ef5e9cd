"""What has not changed is not encoded: a frame that shows what the one before shows is left out.

The frame before is then shown for longer, which says the same. Slides and screen casts are made of such frames.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from av.video.frame import PictureType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane
    from numpy.typing import NDArray

    from plugins.encode.profiles import Unchanged

#: Of 255. Recordings of a screen flicker by so much where their encoder refines a still picture. Frames are compared
#: with the last one that was encoded, so that such differences don't add up.
NEAR = 2

#: Seconds for which nothing may come, at most: players that seek to between two frames decode from the keyframe, and
#: some wait for the next frame before they show one.
LONGEST_GAP = Fraction(1)

#: Frames before each keyframe that are always encoded. A transport stream doesn't say how long a frame is shown, and
#: hls.js takes the last of a segment for as long as the one before: too long a one would push the next segment out of
#: the player's buffer. Nor must two keyframes follow each other, where the second may begin another part.
_LAST = 2

#: Lines are compared in so many bands, the middle ones first: where much moves, the first band tells.
_BANDS = 16

#: Of a sample that is a byte.
_BITS = 8


class Samples:
    """What a frame shows."""

    def __init__(self, frame: VideoFrame) -> None:
        self._form = frame.width, frame.height, frame.format.name
        self._planes = _lines(frame)
        self._is_deep = any(component.bits > _BITS for component in frame.format.components)

    def are(self, others: Samples, most: int = 0) -> bool:
        """Tell whether they are another frame's; of 8 bits, whether none differs by more than so much."""
        if self._form != others._form:
            return False
        most = 0 if self._is_deep else most
        return all(_alike(one, other, most) for one, other in zip(self._planes, others._planes, strict=True))


class StillFilter:
    """Lets pass what changes, each keyframe, and a frame now and then, once it is known how long each is shown."""

    def __init__(self, unchanged: Unchanged, keyframe_seconds: float, rate: Fraction) -> None:
        self._most = difference(unchanged)
        self._interval = Fraction(keyframe_seconds).limit_denominator(1000)
        self._gap = min(LONGEST_GAP, self._interval / 2)
        self._usual = longest_usual(rate)
        self._before_keyframe = (_LAST + Fraction(1, 2)) / rate
        #: The last frame that is to be encoded, and the last one that is left out since.
        self._held: VideoFrame | None = None
        self._samples: Samples | None = None
        self._repeat: VideoFrame | None = None
        #: Frames left out so far.
        self.left_out = 0

    def put(self, frame: VideoFrame, *, is_new: bool | None = None) -> Iterator[VideoFrame]:
        """Yield what is to be encoded before a frame that is stamped, or with nothing left out that frame itself.

        :param is_new: whether it differs from the one before, if that is known.
        """
        if self._most is None:
            yield frame
            return
        samples = Samples(frame) if is_new is None else None
        if samples:
            is_new = not (self._samples and samples.are(self._samples, self._most))
        if not is_new and not self._is_due(frame):
            self._repeat = frame
            self.left_out += 1
            return
        if self._held:
            yield self._let_go(frame)
        self._held, self._samples, self._repeat = frame, samples, None

    def flush(self) -> Iterator[VideoFrame]:
        """Yield the last frame, which is shown until the film ends."""
        if self._held:
            yield self._let_go(None)
        self._held = self._repeat = None

    def _is_due(self, frame: VideoFrame) -> bool:
        """Tell whether a frame must be encoded whatever it shows."""
        if not self._held or frame.pict_type == PictureType.I or _between(self._held, frame) >= self._gap:
            return True
        time = _time(frame)
        return (time // self._interval + 1) * self._interval - time <= self._before_keyframe

    def _let_go(self, following: VideoFrame | None) -> VideoFrame:
        held, last = self._held, self._repeat or self._held
        assert held
        assert last
        assert held.pts is not None
        assert last.pts is not None
        until = last.pts + last.duration if following is None else following.pts
        held.duration = (until or 0) - held.pts
        is_long = following is None or _between(held, following) > self._usual
        if is_long and held.pict_type != PictureType.I:
            held.pict_type = PictureType.P  # so that none is decoded before it that is shown after it
        return held


def difference(unchanged: Unchanged) -> int | None:
    """Return by how much samples may differ in frames that are left out; None if none are."""
    return {"identical": 0, "near": NEAR}.get(unchanged)


def longest_usual(rate: Fraction) -> Fraction:
    """Return for how many seconds a frame is shown at most before nothing is left out behind it."""
    return Fraction(11, 10) / rate


def _between(one: VideoFrame, other: VideoFrame) -> Fraction:
    return _time(other) - _time(one)


def _time(frame: VideoFrame) -> Fraction:
    assert frame.pts is not None
    assert frame.time_base is not None
    return frame.pts * frame.time_base


def _alike(one: NDArray[np.uint8], other: NDArray[np.uint8], most: int) -> bool:
    edges = np.linspace(0, len(one), min(_BANDS, len(one)) + 1, dtype=int)
    bands = sorted(pairwise(edges), key=lambda band: abs(sum(band) - len(one)))
    if not most:
        return all(np.array_equal(one[first:behind], other[first:behind]) for first, behind in bands)
    return all(_difference(one[first:behind], other[first:behind]) <= most for first, behind in bands)


def _difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    return int((np.maximum(one, other) - np.minimum(one, other)).max())


def _lines(frame: VideoFrame) -> list[NDArray[np.uint8]]:
    """Return the samples of each plane, without what lies behind the end of each line."""
    return [_lines_of(plane, _width(frame, index)) for index, plane in enumerate(frame.planes)]


def _lines_of(plane: VideoPlane, width: int) -> NDArray[np.uint8]:
    # A picture that is upside down in memory has a negative length of line.
    stride = abs(plane.line_size) or plane.buffer_size
    lines: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, stride)
    return lines[:, : width or stride]


def _width(frame: VideoFrame, plane: int) -> int:
    """Return the bytes of a line that are seen; 0 for a palette, of which all counts."""
    components = [component for component in frame.format.components if component.plane == plane]
    return sum(component.width * -(-component.bits // 8) for component in components)
