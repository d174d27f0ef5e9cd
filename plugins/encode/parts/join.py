"""The parts of a film put together: their packets, on end, into the files that the undivided encode writes."""

from __future__ import annotations

import heapq
import os
import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from core import Permanent
from plugins.encode.audio.encoders import AacEncoders
from plugins.encode.engine import audio_names, output_errors
from plugins.encode.output.artifacts import publish
from plugins.encode.output.package import Package
from plugins.encode.output.subtitles import readers_for
from plugins.encode.output.thumbnails import Stills
from plugins.encode.parts.divide import Assignment
from plugins.encode.parts.encode import TILES, packet_path
from plugins.encode.parts.packets import PacketFile
from plugins.encode.quality.aim import aimed
from plugins.encode.source.reader import Reading
from plugins.encode.transcode import Transcoded, judge
from plugins.encode.video.encoder import Encoder
from plugins.encode.video.ladder import renditions_for
from plugins.encode.video.timeline import FrameCount

if TYPE_CHECKING:
    from core import Context, Job, PartOutput, StepOutput
    from plugins.encode.film import Film
    from plugins.encode.options import EncodeOptions
    from plugins.encode.output.package import Encoded
    from plugins.encode.profiles import Profile
    from plugins.encode.video.ladder import Rendition

#: Packets between two looks at whether anybody still waits.
_LOOK_EVERY = 500


def join_parts(job: Job, parts: Sequence[PartOutput], options: EncodeOptions, context: Context) -> StepOutput:
    """Make of all parts what `encode_lecture` would have made of the source."""
    told, output, profile = Assignment.of(parts[0].part), context.output, options.ladder
    film = told.film
    media = film.media
    assert media.video
    folders = [part.folder for part in parts if part.folder]
    with output_errors(output):
        renditions = _join_renditions(told, folders, profile, context)
        stills = Stills(output, media.video, film.duration, options)
        for tiles in _find(folders, TILES):
            stills.add_tiles(tiles)
        stills.write()
        audio = [output / name for name in audio_names(film)]
        subtitles = readers_for(media.subtitles, output, film.lecture)
        for path in (*audio, *stills.thumbnails, *(reader.path for reader in subtitles)):
            for made in _find(folders, path.name):
                _link_or_copy(made, path)
        frame_rate = _frame_rate(film, parts)
        end = max(part.facts["end"] for part in parts)
        reading = Reading(reached=end)
        for part in parts:
            reading.add_facts(part.facts)
        done = Transcoded(renditions, (), end, frame_rate, judge(film, reading), reading.missing)
        begun = min(part.facts["begun"] for part in parts)
        return publish(job, film, options, done, stills, subtitles, audio, context, begun, told.aims)


def _join_renditions(
    told: Assignment, folders: Sequence[Path], profile: Profile, context: Context
) -> tuple[Encoded, ...]:
    film = told.film
    assert film.media.video
    renditions = aimed(renditions_for(film.media.video, profile), told.aims)
    # What an open encoder says of its stream is what a file must say of the packets; these two will encode nothing.
    aac = AacEncoders((rendition.spec.audio_rate for rendition in renditions if film.has_sound), film.layout)
    joined = []
    for rendition in renditions:
        x264 = Encoder(rendition, film.media.video, profile, threads=1)
        pictures = _packet_files(folders, rendition)
        if any(part.extradata != x264.extradata for part in pictures):
            raise _misfit(f"{rendition.name} was encoded in more than one way")
        rate = rendition.spec.audio_rate
        sound = aac.template(rate) if film.has_sound else None
        package = Package(
            context.output,
            rendition,
            x264.stream,
            sound,
            segment_seconds=profile.segment_seconds,
            chapters=film.chapters,
        )
        try:
            frames = _mux(package, rendition, pictures, _packet_files(folders, rate), context)
            package.close()
        finally:
            package.abandon()
        joined.append(package.encoded(x264.extradata, frames))
    if len({encoded.frames for encoded in joined}) > 1:
        raise _misfit(f"its renditions have {', '.join(str(encoded.frames) for encoded in joined)} frames")
    return tuple(joined)


def _mux(
    package: Package,
    rendition: Rendition,
    pictures: Sequence[PacketFile],
    sound: Sequence[PacketFile],
    context: Context,
) -> int:
    """Write all packets in the order of their decoding, and return how many pictures there were."""
    frames, last = 0, -1 << 63
    tracks = (
        ((packet, "video") for part in pictures for packet in part),
        ((packet, "audio") for part in sound for packet in part),
    )
    for packet, track in heapq.merge(*tracks, key=lambda one: (one[0].dts or 0) * one[0].time_base):
        if track == "video":
            if packet.dts is None or packet.dts <= last:
                raise _misfit(f"{rendition.name} goes back from decoding time {last} to {packet.dts}")
            frames, last = frames + 1, packet.dts
        if frames % _LOOK_EVERY == 0:
            context.raise_if_cancelled()
        package.mux((packet,), track)
    return frames


def _frame_rate(film: Film, parts: Sequence[PartOutput]) -> Fraction:
    """Return what the undivided encode finds."""
    assert film.media.video
    count = FrameCount()
    for part in parts:
        if Assignment.of(part.part).stretch:
            count.add_facts(part.facts["frames"])
    return count.rate(film.media.video.rate)


def _packet_files(folders: Sequence[Path], track: Rendition | int) -> list[PacketFile]:
    return [PacketFile(path) for path in _find(folders, packet_path(Path(), track).name)]


def _find(folders: Sequence[Path], name: str) -> list[Path]:
    """Return the files of this name, in the order of the parts; not every part has one."""
    return [folder / name for folder in folders if (folder / name).exists()]


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # not on this file system
        shutil.copyfile(source, target)


def _misfit(problem: str) -> Permanent:
    return Permanent(f"the parts don't fit together: {problem}", remedy="give all hosts the same version of PyAV")
