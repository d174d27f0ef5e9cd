"""The one pass over the source: one demux, one decode, everything made from it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from core import BadSource
from plugins.encode.audio.encoders import AacEncoders, AudioFile
from plugins.encode.audio.track import Listener, Sound
from plugins.encode.output.package import AudioTrackPackage, Encoded, Package
from plugins.encode.profiles import Opus
from plugins.encode.source.reader import Reading, read
from plugins.encode.video.encoder import RenditionEncoder, threads_for
from plugins.encode.video.pictures import Pictures
from plugins.media.coverage import MOMENT
from plugins.media.truncation import cut_off, is_cut

if TYPE_CHECKING:
    from av.video.stream import VideoStream

    from core import Context
    from plugins.encode.film import Film
    from plugins.encode.output.subtitles import SubtitleReader
    from plugins.encode.output.thumbnails import Stills
    from plugins.encode.profiles import Profile, Voice
    from plugins.encode.source.probe import AudioTrack
    from plugins.encode.video.ladder import Rendition


#: Seconds that may be missing of a file without its end, in which then there was no more than an index.
_FRAME = 0.05


@dataclass(frozen=True)
class Transcoded:
    """What one pass has made."""

    renditions: tuple[Encoded, ...]
    #: Audio tracks that lie beside the renditions: the default one if they don't hold it, then the others.
    audio_tracks: tuple[AudioTrackPackage, ...]
    #: Seconds; of pictures and sound, whichever ends later.
    duration: float
    #: Frames a second: the constant rate, else the most in one second.
    frame_rate: Fraction
    notes: tuple[str, ...]
    #: Seconds that are missing, by kind of track.
    missing: Mapping[str, float] = field(default_factory=dict)


def transcode(
    film: Film,
    renditions: Sequence[Rendition],
    profile: Profile,
    stills: Stills | None,
    subtitles: Sequence[SubtitleReader],
    audio_files: Sequence[Path],
    context: Context,
) -> Transcoded:
    """Read the film's sources once and write every rendition, audio file, still and subtitle.

    :raises BadSource: the lecture ends well before its stated end, or nothing in it can be decoded.
    """
    with ExitStack() as stack:
        encoders = AacEncoders((rendition.spec.voice for rendition in renditions if film.has_sound), film.layout)
        videos: list[RenditionEncoder] = []
        packages: list[Package] = []

        def open_package(rendition: Rendition, video: VideoStream) -> Package:
            sound = encoders.template(rendition.spec.voice) if film.has_sound else None
            package = Package(
                context.output,
                rendition,
                video,
                sound,
                segment_seconds=profile.segment_seconds,
                chapters=film.chapters,
                segments=profile.segments,
            )
            packages.append(package)
            return package

        for rendition in renditions:
            assert film.media.video
            threads = threads_for(rendition, renditions, context.threads)
            video = RenditionEncoder(rendition, film.media.video, profile, threads, open_package)
            stack.callback(video.abandon)
            video.start()
            videos.append(video)
        files = []
        for path in audio_files:
            files.append(AudioFile(path, film.layout))
            stack.callback(files[-1].abandon)
        pictures = Pictures(film, profile, videos, stills, context.workdir) if film.media.video else None
        voices, names = _voices(renditions), _track_names(film)
        tracks: list[AudioTrackPackage] = []

        def open_track(track: AudioTrack, encoders: AacEncoders, voice: Voice) -> Listener:
            name = names[track.index] + ("_opus" if isinstance(voice, Opus) else "")
            tracks.append(AudioTrackPackage(context.output, track, name, encoders.template(voice), profile, voice))
            stack.callback(tracks[-1].abandon)
            return voice, tracks[-1].take

        listeners: list[Listener] = [(video.rendition.spec.voice, video.put) for video in videos]
        if film.has_sound and profile.segments == "cmaf":
            listeners += [open_track(film.main_audio, encoders, voice) for voice in voices]
        sounds = [Sound(film.scenes[0], encoders, listeners, files)] if film.has_sound else []
        for number, track in enumerate(film.media.other_audio if renditions else (), start=1):
            own = AacEncoders(voices, film.layout)
            hearers = [open_track(track, own, voice) for voice in voices]
            sounds.append(Sound(film.scenes[0], own, hearers, [], number))
        # Playlists of sound are as long as those of the pictures.
        reading = read(film, pictures, sounds, subtitles, context, fill=bool(tracks))
        notes = judge(film, reading)  # of a source that gave nothing there are no files to close
        for video in videos:
            video.put(None)
        for file in files:
            file.close()
        for opened in tracks:
            opened.close()
        wait_for(videos, context)
        end = max([pictures.timeline.end if pictures else 0.0, *(sound.end for sound in sounds)])
        context.progress(end, end)
        return Transcoded(
            renditions=tuple(
                package.encoded(video.encoder.extradata, video.frames)
                for video, package in zip(videos, packages, strict=True)
            ),
            audio_tracks=tuple(tracks),
            duration=end,
            frame_rate=pictures.timeline.rate if pictures else Fraction(0),
            notes=notes,
            missing=reading.missing,
        )


def _voices(renditions: Sequence[Rendition]) -> list[Voice]:
    """Return the best sound of each codec, which is what tracks beside the renditions have."""
    wanted = [rendition.spec.voice for rendition in renditions]
    aac = [voice for voice in wanted if not isinstance(voice, Opus)]
    opus = [voice for voice in wanted if isinstance(voice, Opus)]
    return [max(some) for some in (aac, opus) if some]


def _track_names(film: Film) -> dict[int, str]:
    """Name the files of each audio track: `audio_fra`, and `audio_fra_2` for the second of a language."""
    seen: Counter[str] = Counter()
    names = {}
    for track in (film.main_audio, *film.media.other_audio):
        language = re.sub(r"[^A-Za-z0-9-]", "", track.language or "") or "und"
        seen[language] += 1
        names[track.index] = f"audio_{language}" + (f"_{seen[language]}" if seen[language] > 1 else "")
    return names


def wait_for(encoders: Sequence[RenditionEncoder], context: Context) -> None:
    """Wait for the encoders' last frames; an error in any of them ends all."""
    running = list(encoders)
    while running:
        running = [encoder for encoder in running if not encoder.wait()]
        context.raise_if_cancelled()


def judge(film: Film, reading: Reading) -> tuple[str, ...]:
    """Say what of the lecture was lost; raise BadSource if that is too much."""
    notes = []
    path = film.media.path
    reached, expected = reading.reached - float(film.lecture.at), float(film.lecture.length)
    if reached <= 0:
        raise BadSource(f"{path} holds nothing that can be decoded", remedy="upload it again", path=str(path))
    if film.media.is_truncated and is_cut(reached, expected):
        raise cut_off(path, reached, expected)
    if film.media.is_truncated and film.lecture.end is None and expected - reached >= _FRAME:
        notes.append(f"the source was cut off: its last {max(expected - reached, 0):.1f} s are missing")
    # Matroska's duration is that of the longest track, which may be one of subtitles.
    elif expected - max(reached, reading.subtitled) >= MOMENT and film.media.states_duration:
        notes.append(f"the source says that it lasts {expected:.1f} s, and ends at second {reached:.1f}")
    return (*notes, *reading.notes)
