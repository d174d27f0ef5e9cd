"""Sound encoded: AAC and Opus for each rendition, M4A and MP3 to listen to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.codec.context import Flags

from plugins.encode.output.checks import check_mp4, check_size, discard
from plugins.encode.profiles import Opus, Voice

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet
from plugins.encode.audio.resample import FRAME, RATE

#: `audio_192k` is Pod's name: the M4A has 192 kb/s, of the MP3 (LAME, quality V2) it is only the name.
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
            rate: [EncodedAudio(bytes(p), p.pts or 0, p.duration or FRAME) for p in stream.codec_context.encode(frame)]
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
