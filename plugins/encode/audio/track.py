"""The sound side of the one decode: brought to one form, encoded, handed out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING

from plugins.encode.audio.encoders import AacEncoders, AudioFile, EncodedAudio
from plugins.encode.audio.gain import Gain
from plugins.encode.audio.resample import RATE, Resampler, hushed, is_sound, shortened, silence
from plugins.encode.profiles import Voice
from plugins.media.decoding import Damaged
from plugins.media.silence import LONG, check_holes, check_silence

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

    from plugins.encode.film import Scene

#: A codec and bit rate, and who takes its packets.
Listener = tuple[Voice, Callable[[Sequence[EncodedAudio]], None]]


#: Samples of a hole that is filled piece by piece.
_LONG = 10 * RATE


class Sound:
    """Gives each decoded sound of one track to every listener, at its bit rate, and to the files for listening.

    A scene lasts to the sample what it should; where it has no sound there is silence.
    """

    def __init__(
        self,
        scene: Scene,
        encoders: AacEncoders,
        listeners: Sequence[Listener],
        files: Sequence[AudioFile],
        number: int = 0,
    ) -> None:
        """Begin with a scene; `number` counts the lecture's tracks, its default one first."""
        self._number = number
        self._encoders = encoders
        self._listeners = listeners
        self._files = files
        self._samples = 0
        #: Samples of silence that long holes were filled with.
        self._filled = 0
        self.begin(scene)

    def begin(self, scene: Scene) -> None:
        """Sounds are this scene's from here on."""
        self._until = None if scene.until is None else round(scene.until * RATE)
        self._shift = scene.shift
        self._scene = scene
        self._resampler: Resampler | None = None
        #: All of its holes have been counted.
        self._is_checked = False
        heard = [track for track in (scene.media.audio, *scene.media.other_audio) if track]
        self._track = heard[min(self._number, len(heard) - 1) if not scene.fit else 0] if heard else None
        gain = self._track.gain if self._track else 0.0
        self._gain = Gain(gain) if gain else None

    @property
    def end(self) -> float:
        """Seconds of sound so far."""
        return self._samples / RATE

    def take(self, frames: Iterable[AudioFrame]) -> None:
        if self._resampler is None:
            self._resampler = Resampler(self._shift, self._encoders.layout, self._samples)
        for frame in frames:
            self._bridge(frame)
            ready = self._resampler.resample(frame)
            sane = [is_sound(one) for one in ready]
            for one, is_sane in zip(ready, sane, strict=True):
                self._level(one if is_sane else hushed(one))
            if not all(sane):
                raise Damaged("it decodes to what is no sound")

    def _bridge(self, frame: AudioFrame) -> None:
        """Fill a long hole before a sound piece by piece: the resampler would hold all of it in memory."""
        assert self._resampler
        if frame.pts is None or frame.time_base is None:
            return
        begin = round((frame.pts * frame.time_base - self._shift) * RATE)
        if begin - self._resampler.done < _LONG:
            return
        for ready in self._resampler.flush():
            self._level(ready if is_sound(ready) else hushed(ready))
        first, missing = self._resampler.done, begin - self._resampler.done
        self._check(missing)
        for ready in silence(missing, first, self._encoders.layout):
            self._level(ready)
        self._resampler = Resampler(self._shift, self._encoders.layout, begin)

    def _check(self, missing: int) -> None:
        """Refuse a file whose clock leaps before its silence is encoded, which takes as long as sound."""
        media = self._scene.media
        if missing > LONG * RATE and not self._is_checked and self._track:
            origin = media.origin
            until = inf if self._scene.end is None else self._scene.end + origin
            check_holes(media.path, self._track.index, media.settings, self._scene.start + origin, until)
            self._is_checked = True
        self._filled += missing
        check_silence(self._filled / RATE, media.path, media.settings)

    def wait(self, until: Fraction | float) -> None:
        """Fill up to a time of the film, unless the scene's sound has begun."""
        if self._resampler is None:
            self.be_silent(until)

    def be_silent(self, until: Fraction | float) -> None:
        """Fill up to a time of the film."""
        missing = round(until * RATE) - self._samples
        for frame in silence(missing, self._samples, self._encoders.layout):
            self._encode(frame)

    def end_scene(self) -> None:
        for ready in self._resampler.flush() if self._resampler else ():
            self._level(ready if is_sound(ready) else hushed(ready))
        for ready in self._gain.flush() if self._gain else ():
            self._encode(ready)
        if self._until is not None:
            self.be_silent(Fraction(self._until, RATE))

    def finish(self) -> None:
        """Give out what the encoders hold back."""
        self.end_scene()
        self._encode(None)

    def _level(self, frame: AudioFrame) -> None:
        for ready in self._gain.put(frame) if self._gain else (frame,):
            self._encode(ready)

    def _encode(self, frame: AudioFrame | None) -> None:
        if frame and self._until is not None and self._samples + frame.samples > self._until:
            frame = shortened(frame, self._until - self._samples)
            if frame is None:
                return
        if frame:
            frame.pts = self._samples
            self._samples += frame.samples
        for file in self._files:
            file.encode(frame)
        packets_by_rate = self._encoders.encode(frame)
        for rate, take in self._listeners:
            if encoded := packets_by_rate[rate]:
                take(encoded)
