"""Encoded packets into files: MP4 to download, HLS to stream, from the same packets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import av

from plugins.encode.output import hls
from plugins.encode.output.chapters import set_chapters
from plugins.encode.output.hls import avc_codec
from plugins.encode.video.av1 import av1_codec

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

    from plugins.encode.audio.encoders import EncodedAudio
    from plugins.encode.profiles import Profile, Voice
    from plugins.encode.source.probe import AudioTrack
    from plugins.encode.source.texts import Chapter
    from plugins.encode.video.ladder import Rendition
from plugins.encode.output.checks import check_mp4, check_playlist, discard

#: Microseconds that the muxer may hold one track back to wait for the other. x264 looks up to 60 frames ahead, which
#: is a minute of a film of slides; libav's default of ten seconds would then put the sound into too early a segment.
_INTERLEAVE = {"max_interleave_delta": "100000000"}
Segments = Literal["ts", "cmaf"]
_SUFFIXES: dict[Segments, str] = {"ts": ".ts", "cmaf": ".m4s"}


@dataclass(frozen=True)
class Encoded:
    """A finished rendition."""

    rendition: Rendition
    #: RFC 6381, of the picture alone.
    codec: str
    playlist: Path
    segments: Path
    mp4: Path | None
    frames: int
    #: Second of the first picture.
    begin: Fraction


class Package:
    """The files of one rendition: `<name>.m3u8` with `<name>.ts`, and `<name>.mp4` if asked for.

    To be used from one thread after the other. The streams are templates: encoders that are open.
    """

    def __init__(
        self,
        folder: Path,
        rendition: Rendition,
        video: VideoStream,
        audio: AudioStream | None,
        *,
        segment_seconds: float,
        chapters: Sequence[Chapter] = (),
        segments: Segments = "ts",
    ) -> None:
        self._outputs: list[tuple[OutputContainer, dict[str, Stream | None]]] = []
        self._rendition = rendition
        self._begin: Fraction | None = None
        self.playlist = folder / f"{rendition.name}.m3u8"
        self.segments = folder / f"{rendition.name}{_SUFFIXES[segments]}"
        self.mp4 = folder / f"{rendition.name}.mp4" if rendition.spec.mp4 else None
        try:
            options = hls.options(segment_seconds, self.segments)
            self._add(self.playlist, "hls", options, video, audio if segments == "ts" else None)
            if segments == "cmaf":
                self._outputs[0][1]["audio"] = None  # it has files of its own
            if self.mp4:
                self._add(self.mp4, "mp4", {"movflags": "+faststart"}, video, audio, chapters)
        except BaseException:
            self.abandon()
            raise

    def _add(
        self,
        path: Path,
        kind: str,
        options: dict[str, str],
        video: VideoStream,
        audio: AudioStream | None,
        chapters: Sequence[Chapter] = (),
    ) -> None:
        container = av.open(str(path), "w", format=kind, container_options=options | _INTERLEAVE)
        streams: dict[str, Stream | None] = {}
        self._outputs.append((container, streams))
        streams["video"] = container.add_stream_from_template(video, opaque=False)
        if audio:
            streams["audio"] = container.add_stream_from_template(audio)
        if chapters:
            set_chapters(container, chapters)
        container.start_encoding()

    def mux(self, packets: Iterable[Packet[Any]], track: str) -> None:
        """Write packets of a track ("video" or "audio") into every file; they are used up."""
        for packet in packets:
            if track == "video" and self._begin is None:
                self._begin = (packet.pts or 0) * packet.time_base
            # Muxing rescales the packet in place, so each file starts from the encoder's stamps.
            stamps = packet.pts, packet.dts, packet.duration, packet.time_base
            for container, streams in self._outputs:
                stream = streams[track]
                if stream is None:
                    continue
                packet.stream = stream
                packet.pts, packet.dts, packet.duration, packet.time_base = stamps
                container.mux_one(packet)

    def close(self) -> None:
        """Finish the files; raises NoSpace when one of them isn't whole."""
        while self._outputs:
            container, _ = self._outputs.pop()
            container.close()
        check_playlist(self.playlist, self.segments)
        if self.mp4:
            check_mp4(self.mp4)

    def encoded(self, extradata: bytes, frames: int) -> Encoded:
        """Describe the finished files."""
        name = av1_codec if self._rendition.spec.codec == "av1" else avc_codec
        begin = self._begin or Fraction(0)
        return Encoded(self._rendition, name(extradata), self.playlist, self.segments, self.mp4, frames, begin)

    def abandon(self) -> None:
        """Let go of the files, whatever they hold."""
        while self._outputs:
            container, _ = self._outputs.pop()
            discard(container)


class AudioTrackPackage:
    """The files of an audio track that lies beside the renditions: `<name>.m3u8` with `<name>.ts` or `.m4s`."""

    def __init__(
        self, folder: Path, track: AudioTrack, name: str, audio: AudioStream, profile: Profile, voice: Voice
    ) -> None:
        self.track = track
        self.voice = voice
        self.playlist = folder / f"{name}.m3u8"
        self.segments = folder / f"{name}{_SUFFIXES[profile.segments]}"
        self._container = av.open(
            str(self.playlist),
            "w",
            format="hls",
            container_options=hls.options(profile.segment_seconds, self.segments),
        )
        self._stream = self._container.add_stream_from_template(audio)
        self._container.start_encoding()

    def take(self, sounds: Sequence[EncodedAudio]) -> None:
        for sound in sounds:
            packet = sound.to_packet()
            packet.stream = self._stream
            self._container.mux_one(packet)

    def close(self) -> None:
        """Finish the files; raises NoSpace when one of them isn't whole."""
        self._container.close()
        check_playlist(self.playlist, self.segments)

    def abandon(self) -> None:
        discard(self._container)
