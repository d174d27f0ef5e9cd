"""The scenes of a film read one after the other: found in their files, decoded, handed out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.codec.context import ThreadType
from av.packet import Packet

from plugins.media.source_file import open_source, packets

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
        is_lecture = scene == film.lecture
        if scene != film.scenes[0]:
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
    tracks = _tracks(scene, film, pictures, sounds, subtitles)
    silent = [sound for sound in sounds if not scene.media.audio]
    with open_scene(scene, context, go_there=pictures is not None) as container:
        for packet in scene_packets(container, scene, tracks):
            context.raise_if_cancelled()
            decode, take = tracks[packet.stream.index]
            try:
                decoded = decode(packet)
            except av.error.InvalidDataError:
                reading.damaged += 1
                continue
            take(decoded)
            for sound in silent:
                sound.be_silent(pictures.timeline.end if pictures else 0)
            done = pictures.timeline.end if pictures else sounds[0].end if sounds else 0.0
            context.progress(film.work_done + done, film.work_done + film.duration)


def _tracks(
    scene: Scene,
    film: Film,
    pictures: Pictures | None,
    sounds: Sequence[Sound],
    subtitles: Sequence[SubtitleReader],
) -> dict[int, tuple[Decode, Take]]:
    """Say who takes what of which track of the file."""
    media = scene.media
    tracks: dict[int, tuple[Decode, Take]] = {
        reader.track.index: (reader.decode, reader.cues.extend) for reader in subtitles
    }
    if media.video and pictures:
        tracks[media.video.index] = Packet.decode, pictures.take
    heard = [audio for audio in (media.audio, *media.other_audio) if audio]
    if scene == film.lecture:
        for audio, sound in zip(heard, sounds, strict=False):
            tracks[audio.index] = Packet.decode, sound.take
    elif heard and sounds:
        tracks[heard[0].index] = Packet.decode, _to_all(sounds)
    return tracks


def _to_all(sounds: Sequence[Sound]) -> Take:
    def take(frames: Sequence[Any]) -> None:
        for sound in sounds:
            sound.take(frames)

    return take


@contextmanager
def open_scene(scene: Scene, context: Context, *, go_there: bool = True) -> Iterator[InputContainer]:
    """Open a scene's source where it can be decoded from, with a decoder that uses all threads."""
    video = scene.media.video
    with open_source(scene.media.path) as container:
        if video and go_there:
            stream = next(stream for stream in container.streams.video if stream.index == video.index)
            stream.codec_context.thread_type = ThreadType.AUTO
            stream.codec_context.thread_count = context.threads
            if scene.start > 0 and scene.media.can_seek:
                _go_to(container, stream, scene.start + scene.media.origin)
        yield container


def scene_packets(container: InputContainer, scene: Scene, indexes: Iterable[int]) -> Iterator[Packet[Any]]:
    """Demux what a scene needs of some tracks, with a last, empty packet that makes each decoder give out the rest.

    Pictures from before the scene are among it, because those in it refer to them.
    """
    streams = [container.streams[index] for index in indexes]
    awaited = {stream.index for stream in streams if stream.type in {"video", "audio"}}
    start = scene.start + scene.media.origin
    end = None if scene.end is None else scene.end + scene.media.origin
    for packet in packets(container, streams):
        if packet.dts is not None:
            time = packet.dts * packet.time_base
            if end is not None and time >= end:
                awaited.discard(packet.stream.index)
                if not awaited:
                    break
                continue
            until = time + (packet.duration or 0) * packet.time_base
            if packet.stream.type == "audio" and until < start - _SOUND_RUN_UP:
                continue
        yield packet
    else:
        return
    for stream in streams:
        if stream.type in {"video", "audio"}:
            flush: Packet[Stream] = Packet()
            flush.stream, flush.time_base = stream, stream.time_base or Fraction(0)
            yield flush


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
