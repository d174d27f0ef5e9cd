"""What a source holds, found out before anything is written. Every fault of it is a BadSource."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import av
from av.stream import Disposition

from core import BadSource
from plugins.encode.truncation import cut_off, is_cut, is_truncated, lacks_index, shortening

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

#: Demuxers that may read a source. Left out: pictures, and whatever opens further files or addresses (HLS, DASH,
#: concat), with which an uploaded text could have other files of the server read.
CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dv,eac3,flac,flv,gxf,matroska,webm,mov,mp4,m4a,3gp,mp3,mpeg,mpegts,mxf,nut,"
    "ogg,rm,w64,wav,wv"
)

_UNSPECIFIED = 2

#: Packets within which a stream must give a picture or sound.
_PATIENCE = 2_000

#: Above this a frame rate is the resolution of the clock (a MediaRecorder's WebM says 1000), not a rate.
_MAX_RATE = 120

S = TypeVar("S", bound="Stream")

_REMEDY = "upload a recording that a media player can play"


@dataclass(frozen=True)
class Colour:
    """Tags of the pictures as libav numbers them (ISO/IEC 23091-2)."""

    primaries: int
    transfer: int
    matrix: int


@dataclass(frozen=True)
class VideoTrack:
    """The track that is shown."""

    index: int
    #: As shown: turned upright, pixels squared.
    width: int
    height: int
    #: Degrees clockwise by which the pictures must be turned: 0, 90, 180 or 270.
    turn: int
    rate: Fraction
    time_base: Fraction
    colour: Colour


@dataclass(frozen=True)
class AudioTrack:
    index: int
    sample_rate: int
    channels: int
    language: str | None

    @property
    def output_layout(self) -> str:
        """A microphone stays mono, at half the cost; whatever has more channels becomes stereo."""
        return "mono" if self.channels == 1 else "stereo"


@dataclass(frozen=True)
class SubtitleTrack:
    index: int
    #: As the file says it ("fra"), None where it doesn't.
    language: str | None
    is_text: bool


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


def probe(path: Path) -> Media:
    """Look into a source.

    :raises BadSource: it can't be encoded; the message names the file and the remedy.
    """
    _check_file(path)
    with open_source(path) as container:
        video, audio, notes = _choose(container)
        first_picture, first_sound = _first_frames(container, video, audio)
        if video and not first_picture:
            notes.append(f"video track {video.index} can't be decoded and was left out")
        if audio and not first_sound:
            notes.append(f"audio track {audio.index} can't be decoded and was left out")
        if not first_picture and not first_sound:
            raise BadSource(f"{path} holds no audio or video that can be decoded", remedy=_REMEDY, path=str(path))
        origin = min(_time(frame) for frame in (first_picture, first_sound) if frame)
        tracks = [stream for stream, frame in ((video, first_picture), (audio, first_sound)) if stream and frame]
        _check_whole(path, tracks)
        stated = _stated_duration(container, tracks, origin)
        return Media(
            path=path,
            duration=stated * shortening(path) or _measure(path, [stream.index for stream in tracks], origin),
            is_truncated=is_truncated(path),
            origin=origin,
            video=_describe(video, first_picture, path) if video and first_picture else None,
            audio=AudioTrack(audio.index, first_sound.sample_rate, first_sound.layout.nb_channels, _language(audio))
            if audio and first_sound
            else None,
            subtitles=tuple(
                SubtitleTrack(stream.index, _language(stream), stream.codec_context.codec.text_sub)
                for stream in container.streams.subtitles
                if stream.codec_context
            ),
            cover=next((stream.index for stream in container.streams.video if _is_cover(stream)), None),
            notes=tuple(notes),
        )


def open_source(path: Path) -> InputContainer:
    """Open a source for reading; raises BadSource."""
    limits = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    try:
        return av.open(str(path), "r", container_options=limits, metadata_errors="replace")
    except (av.error.InvalidDataError, av.error.ArgumentError, ValueError) as error:
        if lacks_index(path):
            problem = f"{path} was cut off: its index (moov), written last, is missing"
            raise BadSource(problem, remedy="upload it again, whole", path=str(path)) from error
        raise BadSource(f"{path} is not an audio or video file", remedy=_REMEDY, path=str(path)) from error
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> BadSource:
    problem = f"{path} can't be read ({error.strerror})"
    return BadSource(problem, remedy="check its permissions and where it is mounted", path=str(path))


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise BadSource(f"{path} does not exist", remedy="check its name", path=str(path)) from None
    except IsADirectoryError:
        raise BadSource(f"{path} is a folder", remedy="name the file in it", path=str(path)) from None
    except OSError as error:
        raise unreadable(path, error) from error
    if not size:
        raise BadSource(f"{path} is empty", remedy="upload it again", path=str(path))


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


def _choose(container: InputContainer) -> tuple[VideoStream | None, AudioStream | None, list[str]]:
    """Pick the tracks to encode: the file's default ones, else the first."""
    notes = [
        f"{stream.type} track {stream.index} is of a kind that can't be decoded and was left out"
        for stream in container.streams
        if stream.type in {"video", "audio"} and not stream.codec_context
    ]
    pictures = [stream for stream in container.streams.video if stream.codec_context and not _is_cover(stream)]
    sounds = [stream for stream in container.streams.audio if stream.codec_context]
    return _default(pictures), _default(sounds), notes


def _default(streams: list[S]) -> S | None:
    return next((s for s in streams if s.disposition & Disposition.default), next(iter(streams), None))


def _is_cover(stream: Stream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _first_frames(
    container: InputContainer, video: VideoStream | None, audio: AudioStream | None
) -> tuple[VideoFrame | None, AudioFrame | None]:
    picture: VideoFrame | None = None
    sound: AudioFrame | None = None
    wanted = [stream for stream in (video, audio) if stream]
    for packet in itertools.islice(packets(container, wanted), _PATIENCE):
        with suppress(av.error.InvalidDataError):
            if video and packet.stream is video and not picture:
                picture = next(iter(video.decode(packet)), None)
            elif audio and packet.stream is audio and not sound:
                sound = next(iter(audio.decode(packet)), None)
        if (picture or not video) and (sound or not audio):
            break
    return picture, sound


def packets(container: InputContainer, streams: Iterable[Stream]) -> Iterable[Packet[Stream]]:
    """Demux until the file ends or breaks; how much is missing is for the caller to find."""
    try:
        yield from container.demux(list(streams))
    except av.error.InvalidDataError:
        return
    except OSError as error:
        raise unreadable(Path(container.name), error) from error


def _time(frame: VideoFrame | AudioFrame) -> Fraction:
    """Return when a frame is shown; AVI tells only the order of decoding."""
    stamp = frame.dts if frame.pts is None else frame.pts
    return (stamp or 0) * (frame.time_base or Fraction(0))


def _measure(path: Path, indexes: list[int], origin: Fraction) -> float:
    """Read a file to its end, without decoding, for the duration that its header lacks."""
    with open_source(path) as container:
        ends = (
            (packet.pts + (packet.duration or 0)) * packet.time_base
            for packet in packets(container, [container.streams[index] for index in indexes])
            if packet.pts is not None
        )
        return float(max(ends, default=origin) - origin)


def _describe(stream: VideoStream, frame: VideoFrame, path: Path) -> VideoTrack:
    aspect = stream.codec_context.sample_aspect_ratio or Fraction(1)
    width, height = max(round(frame.width * aspect), 1), frame.height
    turn = -round(frame.rotation / 90) * 90 % 360
    if turn in {90, 270}:
        width, height = height, width
    assert stream.time_base is not None
    return VideoTrack(
        index=stream.index,
        width=width,
        height=height,
        turn=turn,
        rate=_rate(stream, path),
        time_base=stream.time_base,
        colour=_colour(frame),
    )


def _colour(frame: VideoFrame) -> Colour:
    # RGB says that there is no matrix; what is encoded has one.
    matrix = _UNSPECIFIED if frame.format.is_rgb else frame.colorspace
    return Colour(frame.color_primaries, frame.color_trc, matrix)


def _rate(stream: VideoStream, path: Path) -> Fraction:
    """Return the frame rate that the file states, else what its first frames show."""
    for rate in (stream.guessed_rate, stream.average_rate):
        if rate and 0 < rate <= _MAX_RATE:
            return rate
    with open_source(path) as container:
        first = itertools.islice(packets(container, [container.streams[stream.index]]), 250)
        times = sorted(packet.pts * packet.time_base for packet in first if packet.pts is not None)
    gaps = sorted(after - before for before, after in itertools.pairwise(times) if after > before)
    return min(Fraction(round(1 / gaps[len(gaps) // 2])) or Fraction(1), Fraction(_MAX_RATE)) if gaps else Fraction(25)


def _language(stream: Stream) -> str | None:
    return stream.language if stream.language not in {None, "", "und"} else None


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
