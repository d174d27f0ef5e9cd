"""The scenes of a film read one after the other: found in their files, decoded, handed out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import zip_longest
from math import inf
from typing import TYPE_CHECKING, Any

import av
from av.codec.context import ThreadType

from plugins.encode.source.tracks import SOUND, Take, Track, Tracks
from plugins.media.coverage import MOMENT, Hole, loss, merged, seconds_of
from plugins.media.decoding import Damaged, decode, time_of
from plugins.media.opener import open_source
from plugins.media.source_file import flush, packets

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from core import Context
    from plugins.encode.audio.track import Sound
    from plugins.encode.film import Film, Scene
    from plugins.encode.output.subtitles import SubtitleReader
    from plugins.encode.video.pictures import Pictures

#: How far before a time to look for the keyframe from which it can be decoded, in seconds. An index may be sorted by
#: time of decoding, and a transport stream has none.
_BACK = (1, 10, 60)

#: What needs to be decoded before a sound for it to be whole.
_SOUND_RUN_UP = Fraction(1, 2)


@dataclass
class Reading:
    """What became of the sources."""

    #: Packets that couldn't be decoded, and places where the files are broken.
    damaged: int = 0
    #: Second of the film at which the lecture ended.
    reached: float = 0.0
    #: Second of the film at which its last subtitle ends.
    subtitled: float = 0.0
    #: What is missing of the film, by track, as a person would name it; seconds of the film.
    holes: dict[str, list[Hole]] = field(default_factory=dict)

    def add(self, damaged: int, holes: Mapping[str, Iterable[Hole]]) -> None:
        """Add what became of one more source, or part of one."""
        self.damaged += damaged
        for name, more in holes.items():
            self.holes[name] = merged([*self.holes.get(name, ()), *more])

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a part tells of it; `add_facts` reads it again."""
        holes = {name: [[float(start), float(end)] for start, end in holes] for name, holes in self.holes.items()}
        return {"damaged": self.damaged, "holes": holes}

    def add_facts(self, facts: Mapping[str, Any]) -> None:
        holes = {name: [(Fraction(a), Fraction(b)) for a, b in holes] for name, holes in facts["holes"].items()}
        self.add(facts["damaged"], holes)

    @property
    def notes(self) -> list[str]:
        """What is to be said of it."""
        notes = [note for name, holes in self.holes.items() for note in loss(name, holes)]
        if self.damaged:
            notes.append(f"{self.damaged} damaged packets of the source were left out")
        return notes

    @property
    def missing(self) -> dict[str, float]:
        """Seconds that are missing of each track, where they are worth a word."""
        return {name: seconds for name, holes in self.holes.items() if (seconds := seconds_of(holes)) >= MOMENT}


def read(
    film: Film,
    pictures: Pictures | None,
    sounds: Sequence[Sound],
    subtitles: Sequence[SubtitleReader],
    context: Context,
    *,
    fill: bool = False,
) -> Reading:
    """Decode every scene from its beginning to its end.

    :param sounds: of the default audio track and of each of the others; credits are heard in all of them.
    :param fill: go on in silence where the sound ends before the pictures.
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
            reading.subtitled = max((cue.end for reader in subtitles for cue in reader.cues), default=0.0)
    _finish(pictures, sounds, fill=fill)
    return reading


def _finish(pictures: Pictures | None, sounds: Sequence[Sound], *, fill: bool) -> None:
    if pictures:
        pictures.finish()
    for sound in sounds:
        if pictures and fill:
            sound.be_silent(pictures.timeline.end)
        sound.finish()


def _read_scene(
    scene: Scene,
    film: Film,
    pictures: Pictures | None,
    sounds: Sequence[Sound],
    subtitles: Sequence[SubtitleReader],
    reading: Reading,
    context: Context,
) -> None:
    tracks = Tracks(_tracks(scene, film, pictures, sounds, subtitles))
    with open_scene(scene, context, go_there=pictures is not None) as container:
        for packet in scene_packets(container, scene, tracks.indexes, tracks.on_damage):
            context.raise_if_cancelled()
            tracks.take(packet)
            if pictures:
                _wait(scene, pictures, sounds)
            done = pictures.timeline.end if pictures else sounds[0].end if sounds else 0.0
            context.progress(film.work_done + done, film.work_done + film.duration)
        reading.add(tracks.damaged, tracks.holes(container, scene))


def _wait(scene: Scene, pictures: Pictures, sounds: Sequence[Sound]) -> None:
    """Let what has not begun keep step with what has, so that no file waits for a track."""
    heard = [audio for audio in (scene.media.audio, *scene.media.other_audio) if audio]
    for audio, sound in zip_longest(heard[: len(sounds)], sounds):
        if audio is None and heard:  # credits with fewer tracks: all hear the first
            continue
        begins = inf if audio is None else audio.begins - scene.shift if scene.media.can_seek else 0
        sound.wait(min(pictures.timeline.end, begins))
    pictures.wait(max((sound.end for sound in sounds), default=0))


def _tracks(
    scene: Scene,
    film: Film,
    pictures: Pictures | None,
    sounds: Sequence[Sound],
    subtitles: Sequence[SubtitleReader],
) -> dict[int, Track]:
    """Say who takes what of which track of the file."""
    media = scene.media
    tracks = {reader.track.index: Track.of_subtitles(reader) for reader in subtitles}
    if media.video and pictures:
        tracks[media.video.index] = Track.of_pictures(media.video, pictures.take)
    heard = [audio for audio in (media.audio, *media.other_audio) if audio]
    if scene == film.lecture:
        for audio, sound in zip(heard, sounds, strict=False):
            name = SOUND if audio == media.audio else f"{SOUND} of track {audio.index}"
            tracks[audio.index] = Track.of_sound(sound.take, name)
    elif heard and sounds:
        tracks[heard[0].index] = Track.of_sound(_to_all(sounds))
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
    with open_source(scene.media.path, scene.media.settings) as container:
        if video and go_there:
            stream = next(stream for stream in container.streams.video if stream.index == video.index)
            stream.codec_context.thread_type = ThreadType.AUTO
            stream.codec_context.thread_count = context.threads
            if scene.start > 0 and scene.media.can_seek:
                _go_to(container, stream, scene.start + scene.media.origin)
        yield container


def scene_packets(
    container: InputContainer, scene: Scene, indexes: Iterable[int], on_damage: Callable[[], None] = lambda: None
) -> Iterator[Packet[Any]]:
    """Demux what a scene needs of some tracks, with a last, empty packet that makes each decoder give out the rest.

    Pictures from before the scene are among it, because those in it refer to them.
    """
    streams = [container.streams[index] for index in indexes]
    awaited = {stream.index for stream in streams if stream.type in {"video", "audio"}}
    start = scene.start + scene.media.origin
    end = None if scene.end is None else scene.end + scene.media.origin
    for packet in packets(container, streams, on_damage):
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
            yield flush(stream)


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
        with suppress(Damaged):
            for frame in decode(packet):
                if frame.pts is not None and frame.time_base is not None:
                    return time_of(frame)
    raise av.error.EOFError(0, "no frame from here on")
