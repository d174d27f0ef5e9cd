"""One part of a divided film: a stretch of its pictures, or its whole sound."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from av.codec.context import ThreadType

from core import Artifact, PartOutput
from plugins.encode.audio.encoders import AacEncoders, AudioFile
from plugins.encode.audio.track import Sound
from plugins.encode.engine import audio_names, output_errors
from plugins.encode.output.subtitles import readers_for
from plugins.encode.output.thumbnails import Stills
from plugins.encode.parts.divide import Assignment
from plugins.encode.parts.packets import SOUND_CLOCK, PacketWriter
from plugins.encode.quality.aim import aimed
from plugins.encode.source.reader import Reading, read
from plugins.encode.source.tracks import PICTURES, Take, in_film
from plugins.encode.transcode import wait_for
from plugins.encode.video.encoder import RenditionEncoder, threads_for
from plugins.encode.video.ladder import renditions_for
from plugins.encode.video.pictures import Pictures
from plugins.media.coverage import Hole, PictureCoverage, stated_end
from plugins.media.decoding import Damaged, decode
from plugins.media.opener import open_source
from plugins.media.source_file import packets

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from core import Context, Part
    from plugins.encode.audio.encoders import EncodedAudio
    from plugins.encode.options import EncodeOptions
    from plugins.encode.parts.divide import Stretch
    from plugins.encode.source.probe import Media
    from plugins.encode.source.video_track import VideoTrack
    from plugins.encode.video.ladder import Rendition

#: A part's tiles of the overview, in a row.
TILES = "tiles.png"

#: Seconds by which to begin further back when the keyframe that was found doesn't give a picture in time.
_FURTHER_BACK = (0, 10, 60)


def encode_one(part: Part, options: EncodeOptions, context: Context) -> PartOutput:
    """Encode a part into `context.output`, for `join_parts`."""
    begun = time.time()
    told = Assignment.of(part)
    with output_errors(context.output):
        encode = _encode_pictures if told.stretch else _encode_sound
        context.lasts(told.film.duration)
        facts = encode(told, options, context)
    files = sorted(path.name for path in context.output.iterdir())
    return PartOutput(
        part=part,
        artifacts=tuple(Artifact(kind="part", path=name, media_type="application/octet-stream") for name in files),
        facts={"begun": begun, **facts},
    )


def packet_path(folder: Path, track: Rendition | int) -> Path:
    """Return where the packets of a rendition, or of the sound of a bit rate, lie."""
    return folder / f"{track if isinstance(track, int) else track.name}.packets"


def _encode_pictures(told: Assignment, options: EncodeOptions, context: Context) -> dict[str, Any]:
    film, stretch, profile = told.film, told.stretch, options.ladder
    video = film.media.video
    assert stretch
    assert video
    start = None if stretch.start is None else told.time(stretch.start)
    end = None if stretch.end is None else told.time(stretch.end)
    first = float(told.time(stretch.run_up))
    last = film.duration if stretch.run_out is None else float(told.time(stretch.run_out))
    stills = Stills(context.output, video, film.duration, options)
    stills.keep(-math.inf if start is None else float(start), math.inf if end is None else float(end))

    def open_writer(rendition: Rendition, stream: VideoStream) -> PacketWriter:
        encoder = stream.codec_context
        assert encoder.time_base
        path = packet_path(context.output, rendition)
        return PacketWriter(path, encoder.time_base, encoder.extradata or b"", start, end)

    with ExitStack() as stack:
        encoders: list[RenditionEncoder] = []
        renditions = aimed(renditions_for(video, profile), told.aims)
        for rendition in renditions:
            threads = threads_for(rendition, renditions, context.threads)
            encoders.append(RenditionEncoder(rendition, video, profile, threads, open_writer))
            stack.callback(encoders[-1].abandon)
            encoders[-1].start()
        pictures = Pictures(film, profile, encoders, stills, context.workdir)
        pictures.timeline.keep(start, end)
        reel = Reel(film.media, video, stretch, context)
        for frame in reel.frames():
            reel.hand_on(frame, pictures.take)
            context.progress(pictures.timeline.end - first, last - first)
        pictures.finish()
        for encoder in encoders:
            encoder.put(None)
        wait_for(encoders, context)
    stills.save_tiles(context.output / TILES)
    holes = in_film(film.lecture, reel.holes())
    own = [(max(one, start or one), min(other, other if end is None else end)) for one, other in holes]
    lost = Reading(reel.damaged, holes={PICTURES: [(one, other) for one, other in own if other > one]})
    return {"end": pictures.timeline.end, "frames": pictures.timeline.count.facts, **lost.facts}


class Reel:
    """Decodes a stretch of the pictures, from the last keyframe before it on."""

    def __init__(self, media: Media, video: VideoTrack, stretch: Stretch, context: Context) -> None:
        self._media = media
        self._video = video
        self._stretch = stretch
        self._context = context
        self._coverage = PictureCoverage(video.rate)
        self._end: Fraction | None = None
        #: Packets of the part that couldn't be decoded.
        self.damaged = 0

    def hand_on(self, frame: VideoFrame, take: Take) -> None:
        """Give a frame away, and take note of whether it was of use."""
        span = self._coverage.span(frame)
        try:
            take([frame])
        except Damaged:
            self.damaged += 1
            self._coverage.damaged()
        else:
            self._coverage.covered(span)

    def holes(self) -> list[Hole]:
        """Return what is missing, in seconds of the file's clock; of other parts too."""
        return self._coverage.finish(self._end if self._stretch.run_out is None else None)

    def frames(self) -> Iterator[VideoFrame]:
        """Yield the frames from the run-up on to the run-out."""
        for back in (*_FURTHER_BACK, None):
            with open_source(self._media.path, self._media.settings) as container:
                self.damaged = 0
                self._coverage = PictureCoverage(self._video.rate)
                decoded = self._decode(container, back)
                first = next(decoded, None)
                if first is None or first.pts is None or (first.pts > self._stretch.run_up and back is not None):
                    continue
                for frame in itertools.chain([first], decoded):
                    if (
                        self._stretch.run_out is not None
                        and frame.pts is not None
                        and frame.pts >= self._stretch.run_out
                    ):
                        return
                    if frame.pts is None or frame.pts >= self._stretch.run_up:
                        yield frame
                    else:
                        self._coverage.covered(self._coverage.span(frame))
                self._end = stated_end(container.streams[self._video.index])
                return

    def _decode(self, container: InputContainer, back: int | None) -> Iterator[VideoFrame]:
        """Decode from a keyframe so many seconds before the run-up, or with None from the very beginning."""
        stream = container.streams[self._video.index]
        stream.codec_context.thread_type = ThreadType.AUTO
        stream.codec_context.thread_count = self._context.threads
        if back is not None:
            container.seek(self._stretch.run_up - round(back / self._video.time_base), stream=stream)
        for packet in packets(container, [stream], self._coverage.damaged):
            self._context.raise_if_cancelled()
            self._coverage.demuxed(packet)
            try:
                decoded = decode(packet)
            except Damaged:
                self.damaged += packet.pts is not None and packet.pts >= (self._stretch.start or 0)
                self._coverage.damaged()
                continue
            yield from decoded


def _encode_sound(told: Assignment, options: EncodeOptions, context: Context) -> dict[str, Any]:
    """Encode the sound for every rendition and for listening, and read the subtitles on the way."""
    film, media = told.film, told.film.media
    assert media.video
    rates = sorted({rendition.spec.audio_rate for rendition in renditions_for(media.video, options.ladder)})
    subtitles = readers_for(media.subtitles, context.output, film.lecture)
    sound: Sound | None = None
    reading = Reading()
    with ExitStack() as stack:
        files: list[AudioFile] = []
        writers: list[PacketWriter] = []
        if film.has_sound:
            for name in audio_names(film):
                files.append(AudioFile(context.output / name, film.layout))
                stack.callback(files[-1].abandon)
            writers = [PacketWriter(packet_path(context.output, rate), SOUND_CLOCK) for rate in rates]
            listeners = [(rate, _listen(writer)) for rate, writer in zip(rates, writers, strict=True)]
            sound = Sound(film.lecture, AacEncoders(rates, film.layout), listeners, files)
        if sound or subtitles:
            reading = read(film, None, [sound] if sound else [], subtitles, context)
        for file in files:
            file.close()
        for writer in writers:
            writer.close()
    for reader in subtitles:
        reader.write()
    return {"end": sound.end if sound else 0.0, **reading.facts}


def _listen(writer: PacketWriter) -> Callable[[Sequence[EncodedAudio]], None]:
    return lambda sounds: writer.mux((sound.to_packet() for sound in sounds), "audio")
