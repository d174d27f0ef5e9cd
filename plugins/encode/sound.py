"""The sound side of the one decode: brought to one form, encoded, handed out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from plugins.encode.audio import RATE, AacEncoders, AudioFile, EncodedAudio, Resampler

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

#: A bit rate, and who takes the AAC packets of that rate.
Listener = tuple[int, Callable[[Sequence[EncodedAudio]], None]]


class Sound:
    """Gives each decoded sound to every listener, at its bit rate, and to the files for listening."""

    def __init__(
        self, origin: Fraction, encoders: AacEncoders, listeners: Sequence[Listener], files: Sequence[AudioFile]
    ) -> None:
        self._resampler = Resampler(origin, encoders.layout)
        self._encoders = encoders
        self._listeners = listeners
        self._files = files
        self._samples = 0

    @property
    def end(self) -> float:
        """Seconds of sound so far."""
        return self._samples / RATE

    def take(self, frames: Iterable[AudioFrame]) -> None:
        for frame in frames:
            for ready in self._resampler.resample(frame):
                self._encode(ready)

    def finish(self) -> None:
        for ready in self._resampler.flush():
            self._encode(ready)
        self._encode(None)

    def _encode(self, frame: AudioFrame | None) -> None:
        self._samples += frame.samples if frame else 0
        for file in self._files:
            file.encode(frame)
        packets_by_rate = self._encoders.encode(frame)
        for rate, take in self._listeners:
            if encoded := packets_by_rate[rate]:
                take(encoded)
