"""What a source holds, found out before anything is written. Every fault of it is a BadSource."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import av
from av.stream import Discard, Disposition

from core import BadSource
from plugins.encode.source.texts import Chapter, SubtitleTrack, chapters_of, language_of, subtitles_of
from plugins.encode.source.video_track import VideoTrack, describe
from plugins.media.decoding import Damaged, can_be_mixed, decode, time_of
from plugins.media.limits import check_duration, shortened, text_notes
from plugins.media.opener import REMEDY, open_source
from plugins.media.settings import DEFAULTS, MediaSettings
from plugins.media.source_file import may_restart, packets
from plugins.media.tracks import is_cover, usable
from plugins.media.truncation import (
    cut_off,
    end_notes,
    is_cut,
    is_truncated,
    shortening,
    states_duration,
)

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

#: Packets in which to look for the first picture and sound of all tracks together, before those that have not come
#: are looked for alone.
_PATIENCE = 2_000

S = TypeVar("S", bound="Stream")


@dataclass(frozen=True)
class AudioTrack:
    index: int
    sample_rate: int
    channels: int
    language: str | None
    #: What the file calls it ("Interpreter"); None where it doesn't.
    title: str | None = None
    #: Decibels by which it is to be made louder.
    gain: float = 0.0
    #: Time stamp of the first sound in seconds.
    begins: Fraction = Fraction(0)

    @property
    def output_layout(self) -> str:
        """A microphone stays mono, at half the cost; whatever has more channels becomes stereo."""
        return "mono" if self.channels == 1 else "stereo"


@dataclass(frozen=True)
class Media:
    """A source that can be encoded."""

    path: Path
    #: Seconds from the first picture or sound to the last.
    duration: float
    #: The container says that bytes are missing at the end.
    is_truncated: bool
    #: Time stamp of the first picture or sound in seconds; outputs start at zero.
    origin: Fraction
    video: VideoTrack | None
    audio: AudioTrack | None
    subtitles: tuple[SubtitleTrack, ...] = ()
    #: Index of an attached picture.
    cover: int | None = None
    notes: tuple[str, ...] = ()
    #: The audio tracks beside the default one.
    other_audio: tuple[AudioTrack, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    #: What the header says of the duration is no guess from the bit rate.
    states_duration: bool = True
    #: One can go to a time in it without reading all that is before.
    can_seek: bool = True
    #: Bytes that it had when it was looked into.
    size: int = 0
    #: What the host takes; parts of the film are read under them too.
    settings: MediaSettings = DEFAULTS


def probe(path: Path, settings: MediaSettings = DEFAULTS) -> Media:
    """Look into a source.

    :raises BadSource: it can't be encoded; the message names the file and the remedy.
    """
    with open_source(path, settings) as container:
        video, audios, notes = _choose(container, path, settings)
        first_picture, first_sounds = _first_frames(container, video, audios, path, settings)
        if video and not first_picture:
            notes.append(f"video track {video.index} can't be decoded and was left out")
        notes += [
            f"audio track {audio.index} can't be decoded and was left out"
            for audio in audios
            if audio.index not in first_sounds
        ]
        notes += end_notes(path)
        firsts = ([first_picture] if first_picture else []) + list(first_sounds.values())
        if not firsts:
            raise BadSource(f"{path} holds no audio or video that can be decoded", remedy=REMEDY, path=str(path))
        notes += _leave_out_unmixable(first_sounds, path)
        sounds = [(audio, first_sounds[audio.index]) for audio in audios if audio.index in first_sounds]
        tracks: list[Stream] = [video] if video and first_picture else []
        tracks += [audio for audio, _ in sounds[:1]]
        main = ([first_picture] if first_picture else []) + [sound for _, sound in sounds[:1]]
        origin = min(time_of(frame) for frame in main)
        _check_whole(path, tracks)
        restarts = may_restart(container)
        stated = 0.0 if restarts else _stated_duration(container, tracks, origin) * shortening(path)
        if stated > settings.duration_limit:
            stated = 0.0  # headers err
        duration = stated or _measure(path, [stream.index for stream in tracks], origin, settings)
        check_duration(duration, path, settings)
        described = [_describe_sound(audio, sound, settings) for audio, sound in sounds]
        chapters, about_chapters = chapters_of(container, origin, duration, settings)
        subtitles, about_subtitles = subtitles_of(container, settings)
        notes += [*about_chapters, *about_subtitles, *text_notes(container, settings)]
        return Media(
            path=path,
            duration=duration,
            is_truncated=is_truncated(path),
            origin=origin,
            video=describe(video, first_picture, path, duration, settings) if video and first_picture else None,
            audio=described[0] if described else None,
            subtitles=tuple(subtitles),
            cover=next((stream.index for stream in container.streams.video if is_cover(stream)), None),
            notes=tuple(notes),
            other_audio=tuple(described[1:]),
            chapters=tuple(chapters),
            states_duration=states_duration(path, container.format.name),
            can_seek=not restarts,
            size=container.size,
            settings=settings,
        )


def _stated_duration(container: InputContainer, tracks: Iterable[Stream], origin: Fraction) -> float:
    """Return the duration that the file's header gives; 0 if it gives none."""
    ends = [
        (stream.start_time + stream.duration) * stream.time_base
        if stream.time_base and stream.duration and stream.start_time is not None
        else None
        for stream in tracks
    ]
    known = [end for end in ends if end is not None]
    if known and len(known) == len(ends):
        return max(float(max(known) - origin), 0.0)
    stated = (container.duration or 0) / av.time_base
    # Matroska's ends where the last time stamp ends, wherever the first begins.
    skipped = float(origin) if "matroska" in container.format.name and origin > 0 else 0.0
    return max(stated - skipped, 0.0)


def _choose(
    container: InputContainer, path: Path, settings: MediaSettings
) -> tuple[VideoStream | None, list[AudioStream], list[str]]:
    """Pick the tracks to encode: the file's default ones, else the first. The default sound comes first."""
    notes = [
        f"{stream.type} track {stream.index} is of a kind that can't be decoded and was left out"
        for stream in container.streams
        if stream.type in {"video", "audio"} and not stream.codec_context
    ]
    pictures, about_pictures = usable(container.streams.video, path, settings)
    sounds, about_sounds = usable(container.streams.audio, path, settings)
    first, video = _default(sounds), _default(pictures)
    sounds.sort(key=lambda stream: stream is not first)
    if (more := len(sounds) - settings.audio_track_limit) > 0:
        about_sounds.append(
            f"{more} of {len(sounds)} audio tracks were left out: {settings.audio_track_limit} are taken "
            "(`audio_track_limit` of [plugin.media])"
        )
    notes += [*about_pictures, *about_sounds]
    notes += [
        f"video track {stream.index} was left out: a film has one, and track {video.index} is the default or first"
        for stream in pictures
        if video and stream.index != video.index
    ]
    return video, sounds[: settings.audio_track_limit], notes


def _default(streams: list[S]) -> S | None:
    return next((s for s in streams if s.disposition & Disposition.default), next(iter(streams), None))


def _first_frames(
    container: InputContainer,
    video: VideoStream | None,
    audios: Sequence[AudioStream],
    path: Path,
    settings: MediaSettings,
) -> tuple[VideoFrame | None, dict[int, AudioFrame]]:
    """Return the first picture, and the first sound of each track that has one, wherever in the file they are."""
    wanted = {stream.index: stream for stream in (*([video] if video else []), *audios)}
    found = _look_for(container, wanted.values(), _PATIENCE)
    if late := wanted.keys() - found.keys():
        with open_source(path, settings) as again:
            for stream in again.streams:
                stream.discard = Discard.default if stream.index in late else Discard.all
            found |= _look_for(again, [again.streams[index] for index in sorted(late)], None)
    return found.pop(video.index, None) if video else None, found


def _look_for(container: InputContainer, streams: Iterable[Stream], patience: int | None) -> dict[int, Any]:
    """Decode until each stream has given a frame, through so many packets at most."""
    awaited = {stream.index for stream in streams}
    found: dict[int, Any] = {}
    for packet in islice(packets(container, streams), patience) if awaited else ():
        index = packet.stream.index
        if index not in awaited:
            continue
        with suppress(Damaged):
            for frame in decode(packet)[:1]:
                found[index] = frame
                awaited.remove(index)
        if not awaited:
            break
    return found


def _measure(path: Path, indexes: list[int], origin: Fraction, settings: MediaSettings) -> float:
    """Read a file to its end, without decoding, for the duration that its header lacks."""
    with open_source(path, settings) as container:
        ends = (
            (packet.pts + (packet.duration or 0)) * packet.time_base
            for packet in packets(container, [container.streams[index] for index in indexes])
            if packet.pts is not None
        )
        return float(max(ends, default=origin) - origin)


def _leave_out_unmixable(sounds: dict[int, AudioFrame], path: Path) -> list[str]:
    """Take away what libswresample has no stereo of, 30 channels without a layout say, and say so."""
    wrong = {index: sound for index, sound in sounds.items() if not can_be_mixed(sound)}
    notes = [
        f"audio track {index} has {sound.layout.nb_channels} channels that can't be mixed down, and was left out"
        for index, sound in wrong.items()
    ]
    if wrong and len(wrong) == len(sounds):
        problem = f"{path}: {notes[0].removesuffix(', and was left out')}"
        raise BadSource(problem, remedy="mix its sound down to two channels", path=str(path))
    for index in wrong:
        del sounds[index]
    return notes


def _describe_sound(stream: AudioStream, frame: AudioFrame, settings: MediaSettings) -> AudioTrack:
    title = stream.metadata.get("title") or stream.metadata.get("handler_name")
    # What muxers write into a field that nobody has filled in.
    title = None if title in {"SoundHandler", "Core Media Audio", "GPAC ISO Audio Handler"} else title
    return AudioTrack(
        stream.index,
        frame.sample_rate,
        frame.layout.nb_channels,
        language_of(stream),
        shortened(title, settings) if title else None,
        begins=time_of(frame),
    )


def _check_whole(path: Path, streams: Iterable[Stream]) -> None:
    """Refuse a file whose index points past its end.

    A loss of less than a hundredth passes here; it is found, and noted, once the file has been read.
    """
    size = path.stat().st_size
    for stream in streams:
        entries = stream.index_entries
        if not len(entries) or entries[-1].pos + entries[-1].size <= size:
            continue
        missing = next((entry for entry in entries if entry.pos + entry.size > size), entries[-1])
        assert stream.time_base is not None
        length = float((entries[-1].timestamp - entries[0].timestamp) * stream.time_base)
        reached = float((missing.timestamp - entries[0].timestamp) * stream.time_base)
        if is_cut(reached, length):
            raise cut_off(path, reached, length)
