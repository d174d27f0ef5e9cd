"""Sound brought to one form: 48 kHz floats in frames of 1024, on one clock, gaps filled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import av

from plugins.media.decoding import Damaged, damage

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.resampler import AudioResampler

RATE = 48_000

#: Samples of an AAC frame (ISO/IEC 14496-3).
FRAME = 1024

#: Root of the sum of squares that no frame of sound has; full scale in all samples makes 32.
_LOUDEST = 10_000

#: Seconds by which sound may drift before it is set right. Recorders' stamps jitter by a frame, 20 to 23 ms.
_MOST_DRIFT = "0.03"


class Resampler:
    """Brings any sound to 48 kHz planar floats of one layout that begin where they should and have no holes.

    Sound that begins late is preceded by silence, one that begins early is cut; later on a gap of more than 30 ms is
    filled and an overlap cut (libswresample's `async=1`), so that it stays with the picture whatever a player thinks
    of edit lists.

    :param shift: seconds to take off a sound's own time stamp.
    :param first: number of the first sample that is wanted.
    """

    def __init__(self, shift: Fraction, layout: str, first: int = 0) -> None:
        self._shift = shift
        self._layout = layout
        self._resampler: AudioResampler | None = None
        self._form: tuple[str, str, int] | None = None
        #: Samples that were given out, those before `first` included.
        self.done = first

    def resample(self, frame: AudioFrame) -> list[AudioFrame]:
        """Return what is ready; raises Damaged for a frame that can't be used."""
        form = frame.format.name, frame.layout.name, frame.sample_rate
        ready = [] if form == self._form else self.flush()
        if self._resampler is None:
            self._form = form
            # libswresample counts `first_pts` in samples of the source, whatever its documentation says.
            first = round(Fraction(self.done * frame.sample_rate, RATE))
            options = {"async": "1", "min_hard_comp": _MOST_DRIFT, "first_pts": str(first)}
            with damage():
                self._resampler = av.AudioResampler("fltp", self._layout, RATE, frame_size=FRAME, options=options)
        stamp = frame.pts
        if stamp is not None and frame.time_base:
            frame.pts = stamp - round(self._shift / frame.time_base)
        try:
            with damage():
                resampled = self._resampler.resample(frame)
        except Damaged:
            self._resampler = None
            raise
        finally:
            frame.pts = stamp  # of credits, other tracks want it too
        return ready + self._stamp(resampled)

    def flush(self) -> list[AudioFrame]:
        """Give out what is left; also when the sound changes its form in mid-film."""
        rest = self._stamp(self._resampler.resample(None)) if self._resampler else []
        self._resampler = None
        return rest

    def _stamp(self, frames: list[AudioFrame]) -> list[AudioFrame]:
        """Number the samples on; where the source has no time stamps, libavfilter gives none either."""
        for frame in frames:
            frame.pts, frame.time_base = self.done, Fraction(1, RATE)
            self.done += frame.samples
        return frames


def silence(samples: int, first: int, layout: str) -> Iterator[AudioFrame]:
    """Yield silent frames of so many samples in all."""
    while samples > 0:
        frame = hushed(_new_frame(layout, min(samples, FRAME), first))
        yield frame
        samples -= frame.samples
        first += frame.samples


def is_sound(frame: AudioFrame) -> bool:
    """Tell whether a frame of planar floats can be encoded.

    Damaged packets decode to infinities and to what is no number, with which AAC fails and LAME ends the process.
    """
    return all(math.hypot(*memoryview(plane).cast("f")[: frame.samples]) < _LOUDEST for plane in frame.planes)


def hushed(frame: AudioFrame) -> AudioFrame:
    """Return the frame, silenced."""
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    return frame


def shortened(frame: AudioFrame, samples: int) -> AudioFrame | None:
    """Return the first samples of a frame of planar floats; None if there are none."""
    if samples <= 0:
        return None
    short = _new_frame(frame.layout.name, samples, frame.pts or 0)
    for plane, whole in zip(short.planes, frame.planes, strict=True):
        plane.update(bytes(whole)[: plane.buffer_size])
    return short


def _new_frame(layout: str, samples: int, first: int) -> AudioFrame:
    frame = av.AudioFrame("fltp", layout, samples)
    frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), first
    return frame
