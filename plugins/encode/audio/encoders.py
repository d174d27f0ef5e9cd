"""The sound: decoded once, brought to one form, encoded for each rendition and for listening."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.codec.context import Flags

from plugins.encode.output.package import check_mp4, check_size, discard
from plugins.encode.profiles import Opus, Voice
from plugins.media.decoding import Damaged, damage

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.resampler import AudioResampler
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet

RATE = 48_000

#: Samples of an AAC frame (ISO/IEC 14496-3).
_FRAME = 1024

#: Root of the sum of squares that no frame of sound has; full scale in all samples makes 32.
_LOUDEST = 10_000

#: Seconds by which sound may drift before it is set right. Recorders' stamps jitter by a frame, 20 to 23 ms.
_MOST_DRIFT = "0.03"

#: What `audio_192k` means in Pod: the rate of the M4A, and a name only of the MP3, which LAME makes at quality V2.
M4A_RATE = 192_000
_LAME_QUALITY = 2


@dataclass(frozen=True)
class EncodedAudio:
    """An AAC packet on its way to a muxer in another thread. Times count samples."""

    data: bytes
    pts: int
    duration: int

    def to_packet(self) -> Packet[Any]:
        packet: Packet[Any] = av.Packet(self.data)
        packet.pts = packet.dts = self.pts
        packet.duration = self.duration
        packet.time_base = Fraction(1, RATE)
        packet.is_keyframe = True
        return packet


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
        self._done = first

    def resample(self, frame: AudioFrame) -> list[AudioFrame]:
        """Return what is ready; raises Damaged for a frame that can't be used."""
        form = frame.format.name, frame.layout.name, frame.sample_rate
        ready = [] if form == self._form else self.flush()
        if self._resampler is None:
            self._form = form
            options = {"async": "1", "min_hard_comp": _MOST_DRIFT, "first_pts": str(self._done)}
            with damage():
                self._resampler = av.AudioResampler("fltp", self._layout, RATE, frame_size=_FRAME, options=options)
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
            frame.pts, frame.time_base = self._done, Fraction(1, RATE)
            self._done += frame.samples
        return frames


def silence(samples: int, first: int, layout: str) -> Iterator[AudioFrame]:
    """Yield silent frames of so many samples in all."""
    while samples > 0:
        frame = hushed(_new_frame(layout, min(samples, _FRAME), first))
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


class AacEncoders:
    """One encoder for each bit rate, of AAC unless Opus is named; renditions of one rate share it."""

    def __init__(self, rates: Iterable[Voice], layout: str) -> None:
        self.layout = layout
        # A container that writes nowhere owns the encoders, because only its streams can be templates of others.
        self._owner = av.open("aac", "w", format="null")
        self._streams = {voice: _add_voice(self._owner, voice, layout) for voice in dict.fromkeys(rates)}
        if self._streams:
            self._owner.start_encoding()

    def template(self, voice: Voice) -> AudioStream:
        return self._streams[voice]

    def encode(self, frame: AudioFrame | None) -> Mapping[Voice, list[EncodedAudio]]:
        """Encode a frame, or with None what is left; return the packets by bit rate."""
        return {
            rate: [EncodedAudio(bytes(p), p.pts or 0, p.duration or _FRAME) for p in stream.codec_context.encode(frame)]
            for rate, stream in self._streams.items()
        }


class AudioFile:
    """A file to listen to: MP3, or M4A for a source without pictures."""

    def __init__(self, path: Path, layout: str) -> None:
        self.path = path
        self.frames = 0
        self._bytes = 0
        options = {"movflags": "+faststart"} if path.suffix == ".m4a" else {}
        self._container = av.open(str(path), "w", format="mp3" if path.suffix == ".mp3" else "ipod")
        self._container.container_options.update(options)
        self._stream = (
            _add_mp3(self._container, layout) if path.suffix == ".mp3" else _add_aac(self._container, M4A_RATE, layout)
        )

    def encode(self, frame: AudioFrame | None) -> None:
        for packet in self._stream.encode(frame):
            self.frames += 1
            self._bytes += packet.size
            self._container.mux_one(packet)

    def close(self) -> None:
        """Finish the file; raises NoSpace when it isn't whole."""
        self._container.close()
        check_size(self.path, self._bytes)
        if self.path.suffix == ".m4a":
            check_mp4(self.path)

    def abandon(self) -> None:
        discard(self._container)


def _add_voice(container: OutputContainer, voice: Voice, layout: str) -> AudioStream:
    if not isinstance(voice, Opus):
        return _add_aac(container, voice, layout)
    stream = container.add_stream("libopus", RATE)
    stream.codec_context.layout = layout
    stream.codec_context.format = "flt"
    stream.codec_context.bit_rate = voice.rate
    stream.codec_context.flags |= Flags.global_header
    return stream


def _add_aac(container: OutputContainer, rate: int, layout: str) -> AudioStream:
    stream = container.add_stream("aac", RATE)
    stream.codec_context.layout = layout
    stream.codec_context.bit_rate = rate
    stream.codec_context.flags |= Flags.global_header
    return stream


def _add_mp3(container: OutputContainer, layout: str) -> AudioStream:
    stream = container.add_stream("libmp3lame", RATE)
    stream.codec_context.layout = layout
    stream.codec_context.format = "fltp"
    stream.codec_context.global_quality = _LAME_QUALITY
    stream.codec_context.qscale = True
    return stream
