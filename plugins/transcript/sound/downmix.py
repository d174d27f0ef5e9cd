"""Mono of stereo, also where the two channels cancel each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

#: Share of the louder channel's power below which their sum has cancelled. Of one silent channel it is 0.25.
_CANCELLED = 0.1

#: What counts of the past, a frame on: some seconds, so that a moment's music doesn't switch channels.
_MEMORY = 0.98


class Downmix:
    """Takes the mean of both channels, and the louder one alone where one is the other inverted: a cable's fault."""

    def __init__(self) -> None:
        self._powers = np.zeros(3)

    def mix(self, frame: AudioFrame) -> AudioFrame:
        """Turn a frame of stereo planar floats into one of mono floats."""
        left, right = frame.to_ndarray()
        candidates = (left + right) / 2, left, right
        self._powers = _MEMORY * self._powers + [float(np.dot(one, one)) for one in candidates]
        cancels = self._powers[0] < _CANCELLED * self._powers[1:].max()
        chosen = candidates[int(self._powers.argmax()) if cancels else 0]
        mono = av.AudioFrame.from_ndarray(chosen[np.newaxis], format="flt", layout="mono")
        mono.sample_rate = frame.sample_rate
        return mono
