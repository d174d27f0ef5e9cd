"""The scenes of a film read one after the other: found in their files, decoded, handed out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.codec.context import ThreadType
from av.packet import Packet

from plugins.encode.source_file import open_source, packets

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

    from core import Context
    from plugins.encode.film import Film, Scene
    from plugins.encode.pictures import Pictures
    from plugins.encode.sound import Sound
    from plugins.encode.subtitles import SubtitleReader

Decode = Callable[[Any], Sequence[Any]]
Take = Callable[[Any], None]

#: How far before a time to look for the keyframe from which it can be decoded, in seconds. An index may be sorted by
#: time of decoding, and a transport stream has none.
_BACK = (1, 10, 60)

#: What needs to be decoded before a sound for it to be whole.
_SOUND_RUN_UP = Fraction(1, 2)


@dataclass
class Reading:
    """What became of the sources."""

    #: Packets that couldn't be decoded.
    damaged: int = 0
    #: Second of the film at which the lecture ended.
    reached: float = 0.0


@dataclass
class _Track:
    decode: Decode
    take: Take
    #: Times in the file before which nothing is needed, and after which nothing is.
    start: Fraction
    end: Fraction | None
    #: Whether the scene lasts as long as this track.
    counts: bool = True
    is_over: bool = field(default=False)

    def needs(self, packet: Packet[Any]) -> bool:
        if packet.dts is None:
            return True
        time = packet.dts * packet.time_base
        self.is_over = self.end is not None and time >= self.end
        return not self.is_over and time + (packet.duration or 0) * packet.time_base >= self.start


def read(
    film: Film,
    pictures: Pictures | None,
    sounds: Sequence[Sound],
    subtitles: Sequence[SubtitleReader],
    context: Context,
) -> Reading:
    """Decode every scene from its beginning to its end.

    :param sounds: of the default audio track and of each of the others; credits are heard in all of them.
    """
    reading = Reading()
    for scene in film.scenes:
        is_lecture = scene is film.lecture
        if scene is not film.scenes[0]:
            if pictures:
                pictures.begin(scene)
            for sound in sounds:
                sound.begin(scene)
        _read_scene(scene, film, pictures, sounds, subtitles if is_lecture else (), reading, context)
        if pictures:
            pictures.end_scene()
        for sound in sounds:
            sound.end_scene()
        if is_lecture:
            reading.reached = max([pictures.timeline.end] if pictures else [], default=0.0)
            reading.reached = max([reading.reached, *(sound.end for sound in sounds)])
    if pictures:
        pictures.finish()
    for sound in sounds:
        sound.finish()
    return reading


def _read_scene(
    scene: Scene,
    film: Film,
    pictures: Pictures | None,
    sounds: Sequence[Sound],
    subtitles: Sequence[SubtitleReader],
    reading: Reading,
    context: Context,
) -> None:
    with open_source(scene.media.path) as container:
        tracks = _tracks(scene, film, pictures, sounds, subtitles)
        video = scene.media.video if pictures else None
        if video:
            decoder = container.streams[video.index].codec_context
            decoder.thread_type = ThreadType.AUTO
            decoder.thread_count = context.threads
            if scene.start and scene.media.can_seek:
                _go_to(container, _video_stream(container, video.index), scene.start + scene.media.origin)
        silent = [sound for sound in sounds if not scene.media.audio]
        for packet in packets(container, [container.streams[index] for index in tracks]):
            context.raise_if_cancelled()
            track = tracks[packet.stream.index]
            if not track.needs(packet):
                if all(track.is_over for track in tracks.values() if track.counts):
                    break
                continue
            _decode(packet, track, reading)
            for sound in silent:
                sound.be_silent(pictures.timeline.end if pictures else 0)
            done = pictures.timeline.end if pictures else sounds[0].end if sounds else 0.0
            context.progress(done, film.duration)
        else:
            return
        for index, track in tracks.items():
            if track.counts:
                flush: Packet[Stream] = Packet()
                flush.stream = container.streams[index]
                flush.time_base = container.streams[index].time_base or Fraction(0)
                _decode(flush, track, reading)


def _decode(packet: Packet[Any], track: _Track, reading: Reading) -> None:
    try:
        decoded = track.decode(packet)
    except av.error.InvalidDataError:
        reading.damaged += 1
        return
    track.take(decoded)


def _tracks(
    scene: Scene,
    film: Film,
    pictures: Pictures | None,
    sounds: Sequence[Sound],
    subtitles: Sequence[SubtitleReader],
) -> dict[int, _Track]:
    """Say who takes what of which track of the file."""
    media = scene.media
    start = scene.start + media.origin
    end = None if scene.end is None else scene.end + media.origin
    tracks = {
        reader.track.index: _Track(reader.decode, reader.cues.extend, start - 60, end, counts=False)
        for reader in subtitles
    }
    if media.video and pictures:
        # What is before the start is decoded for what refers to it; going there left out the most.
        tracks[media.video.index] = _Track(Packet.decode, pictures.take, Fraction(-(2**40)), end)
    heard = [audio for audio in (media.audio, *media.other_audio) if audio]
    if scene is film.lecture:
        for audio, sound in zip(heard, sounds, strict=False):
            tracks[audio.index] = _Track(Packet.decode, sound.take, start - _SOUND_RUN_UP, end)
    elif heard and sounds:
        tracks[heard[0].index] = _Track(Packet.decode, _to_all(sounds), start - _SOUND_RUN_UP, end)
    return tracks


def _to_all(sounds: Sequence[Sound]) -> Take:
    def take(frames: Sequence[Any]) -> None:
        for sound in sounds:
            sound.take(frames)

    return take


def _video_stream(container: InputContainer, index: int) -> VideoStream:
    return next(stream for stream in container.streams.video if stream.index == index)


def _go_to(container: InputContainer, stream: VideoStream, time: Fraction) -> None:
    """Go to where decoding must begin for the frame that is shown at a time, in seconds of the file's clock."""
    assert stream.time_base
    for back in _BACK:
        target = round((time - back) / stream.time_base)
        try:
            container.seek(target, stream=stream)
            if _first_time(container, stream) <= time:
                container.seek(target, stream=stream)
                return
        except (av.error.FFmpegError, OSError):
            break
    container.seek(container.start_time or 0)


def _first_time(container: InputContainer, stream: VideoStream) -> Fraction:
    """Return when the first frame that can be decoded from here on is shown."""
    for packet in packets(container, [stream]):
        try:
            for frame in stream.decode(packet):
                if frame.pts is not None and frame.time_base is not None:
                    return frame.pts * frame.time_base
        except av.error.InvalidDataError:
            continue
    raise av.error.EOFError(0, "no frame from here on")
