"""The one pass over the source: one demux, one decode, everything made from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.codec.context import ThreadType
from av.packet import Packet

from core import BadSource
from plugins.encode.audio import AacEncoders, AudioFile
from plugins.encode.lane import Lane
from plugins.encode.packaging import Encoded, Package
from plugins.encode.pictures import Pictures
from plugins.encode.probe import open_source, packets
from plugins.encode.sound import Sound
from plugins.encode.truncation import cut_off, is_cut

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from core import Context
    from plugins.encode.ladder import Rendition
    from plugins.encode.probe import Media
    from plugins.encode.profiles import Profile
    from plugins.encode.stills import Stills
    from plugins.encode.subtitles import SubtitleReader


Decode = Callable[[Any], Sequence[Any]]
Take = Callable[[Any], None]


@dataclass(frozen=True)
class Transcoded:
    """What one pass has made."""

    renditions: tuple[Encoded, ...]
    #: Seconds; of pictures and sound, whichever ends later.
    duration: float
    #: Frames a second: the constant rate, else the most in one second.
    frame_rate: Fraction
    notes: tuple[str, ...]


def transcode(
    media: Media,
    renditions: Sequence[Rendition],
    profile: Profile,
    stills: Stills | None,
    subtitles: Sequence[SubtitleReader],
    audio_files: Sequence[Path],
    context: Context,
) -> Transcoded:
    """Read the source once and write every rendition, audio file, still and subtitle.

    :raises BadSource: the source ends well before its stated end, or nothing in it can be decoded.
    """
    with ExitStack() as stack:
        container = stack.enter_context(open_source(media.path))
        layout = media.audio.output_layout if media.audio else "stereo"
        encoders = AacEncoders((rendition.spec.audio_rate for rendition in renditions if media.audio), layout)
        lanes: list[Lane] = []
        packages: list[Package] = []

        def open_package(rendition: Rendition, video: VideoStream) -> Package:
            sound = encoders.template(rendition.spec.audio_rate) if media.audio else None
            package = Package(context.output, rendition, video, sound, segment_seconds=profile.segment_seconds)
            packages.append(package)
            return package

        for rendition in renditions:
            assert media.video
            lane = Lane(rendition, media.video, profile, context.threads, open_package)
            stack.callback(lane.abandon)
            lane.start()
            lanes.append(lane)
        files = []
        for path in audio_files:
            files.append(AudioFile(path, layout))
            stack.callback(files[-1].abandon)
        pictures = Pictures(media, profile, lanes, stills) if media.video else None
        listeners = [(lane.rendition.spec.audio_rate, lane.put) for lane in lanes]
        sound = Sound(media.origin, encoders, listeners, files) if media.audio else None
        damaged = read(container, media, pictures, sound, subtitles, context)
        for lane in lanes:
            lane.put(None)
        for file in files:
            file.close()
        wait_for(lanes, context)
        end = max(pictures.timeline.end if pictures else 0.0, sound.end if sound else 0.0)
        context.progress(end, end)
        return Transcoded(
            renditions=tuple(
                package.encoded(lane.encoder.extradata, lane.frames)
                for lane, package in zip(lanes, packages, strict=True)
            ),
            duration=end,
            frame_rate=pictures.timeline.rate if pictures else Fraction(0),
            notes=judge(media, end, damaged),
        )


def read(
    container: InputContainer,
    media: Media,
    pictures: Pictures | None,
    sound: Sound | None,
    subtitles: Sequence[SubtitleReader],
    context: Context,
) -> int:
    """Decode the file from end to end and return how many packets couldn't be decoded."""
    tracks: dict[int, tuple[Decode, Take]] = {
        reader.track.index: (reader.decode, reader.cues.extend) for reader in subtitles
    }
    if media.video and pictures:
        tracks[media.video.index] = Packet.decode, pictures.take
        decoder = container.streams[media.video.index].codec_context
        decoder.thread_type = ThreadType.AUTO
        decoder.thread_count = context.threads
    if media.audio and sound:
        tracks[media.audio.index] = Packet.decode, sound.take
    damaged = 0
    for packet in packets(container, [container.streams[index] for index in tracks]):
        context.raise_if_cancelled()
        decode, take = tracks[packet.stream.index]
        try:
            decoded = decode(packet)
        except av.error.InvalidDataError:
            damaged += 1
            continue
        take(decoded)
        context.progress(pictures.timeline.end if pictures else sound.end if sound else 0.0, media.duration)
    if pictures:
        pictures.finish()
    if sound:
        sound.finish()
    return damaged


def wait_for(lanes: Sequence[Lane], context: Context) -> None:
    """Wait for the encoders' last frames; an error in any of them ends all."""
    running = list(lanes)
    while running:
        running = [lane for lane in running if not lane.wait()]
        context.raise_if_cancelled()


def judge(media: Media, end: float, damaged: int) -> tuple[str, ...]:
    """Say what of the source was lost; raise BadSource if that is too much."""
    notes = []
    if not end:
        raise BadSource(
            f"{media.path} holds nothing that can be decoded", remedy="upload it again", path=str(media.path)
        )
    if media.is_truncated and is_cut(end, media.duration):
        raise cut_off(media.path, end, media.duration)
    if media.is_truncated:
        notes.append(f"the source was cut off: its last {max(media.duration - end, 0):.1f} s are missing")
    if damaged:
        notes.append(f"{damaged} damaged packets of the source were left out")
    return tuple(notes)
