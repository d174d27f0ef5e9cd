"""What a source may ask of a machine at most: a small file must not fill a large one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from core import BadSource
from plugins.media.allowed import codec_of, takes
from plugins.media.settings import MediaSettings

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

#: Longer side of a picture as a multiple of the shorter.
MOST_STRETCHED = 50

#: Characters of a language tag (RFC 5646, 4.4.1); a file is named by it.
LONGEST_LANGUAGE = 35


NEW_CLOCK = "write it anew with a clock that goes on: ffmpeg -i FILE -c copy -fflags +genpts NEW.mp4"


@dataclass(frozen=True)
class Objection:
    """Why a track is not decoded, as what is said of it, and what to do about it."""

    words: str
    remedy: str


def refusal(path: Path, found: str, most: str, remedy: str, setting: str) -> BadSource:
    """Say that a file has more of something than is taken."""
    return BadSource(
        f"{path} {found}, and {most}",
        remedy=f"{remedy}, or raise `{setting}` of [plugin.media]",
        path=str(path),
    )


def check_size(size: int, path: Path, settings: MediaSettings) -> None:
    if size > settings.file_limit:
        raise refusal(
            path,
            f"has {size / 1e9:.3g} GB",
            f"{settings.file_limit / 1e9:.3g} are taken",
            "encode it at a lower bit rate",
            "file_limit",
        )


def check_container(container: InputContainer, path: Path, settings: MediaSettings) -> None:
    """Raise BadSource for a file whose header says more than any recorder writes."""
    if len(container.streams) > settings.track_limit:
        raise too_many_tracks(path, settings)
    said = sum(
        len(name) + len(value)
        for metadata in (container.metadata, *(stream.metadata for stream in container.streams))
        for name, value in metadata.items()
    )
    if said > settings.metadata_limit:
        raise refusal(
            path,
            f"has {said / 1e6:.1f} million characters of metadata",
            f"{settings.metadata_limit / 1e6:.3g} are taken",
            "write it anew without them: ffmpeg -i FILE -map_metadata -1 -c copy NEW.mkv",
            "metadata_limit",
        )


def too_many_tracks(path: Path, settings: MediaSettings) -> BadSource:
    return refusal(
        path,
        f"has more than {settings.track_limit} tracks",
        "no more are taken",
        "write it anew with those that matter: ffmpeg -i FILE -map 0:v:0 -map 0:a:0 -c copy NEW.mkv",
        "track_limit",
    )


def check_duration(seconds: float, path: Path, settings: MediaSettings) -> None:
    if seconds > settings.duration_limit:
        raise refusal(
            path,
            f"lasts {seconds / 3600:.1f} hours",
            f"{settings.duration_limit / 3600:.3g} are taken",
            f"cut it in several films, or if its clock leaps {NEW_CLOCK}",
            "duration_limit",
        )


def objection(stream: Stream, settings: MediaSettings) -> Objection | None:
    """Say why a track must not be decoded; None if it may be."""
    codec = codec_of(stream)
    if codec is None:
        return None  # nobody can
    if not takes(codec, settings.codecs):
        return Objection(
            f"is coded as {codec}, which is not taken",
            f"convert it to H.264 and AAC, or add {codec} to `codecs` of [plugin.media]",
        )
    if isinstance(stream, VideoStream):
        return _too_large(stream, settings)
    return _too_fine(stream, settings) if isinstance(stream, AudioStream) else None


def _too_large(stream: VideoStream, settings: MediaSettings) -> Objection | None:
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > settings.pixel_limit:
        return Objection(
            f"has pictures of {width}x{height}, and {settings.pixel_limit / 1e6:.3g} million pixels are taken",
            "make it smaller, or raise `pixel_limit` of [plugin.media]",
        )
    return None


def _too_fine(stream: AudioStream, settings: MediaSettings) -> Objection | None:
    rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    if rate > settings.sample_rate_limit:
        return Objection(
            f"has {rate} samples a second, and {settings.sample_rate_limit} are taken",
            "convert its sound to 48 kHz, or raise `sample_rate_limit` of [plugin.media]",
        )
    if channels > settings.channel_limit:
        return Objection(
            f"has {channels} channels, and {settings.channel_limit} are taken",
            "mix its sound down to two, or raise `channel_limit` of [plugin.media]",
        )
    return None


def shortened(title: str, settings: MediaSettings) -> str:
    return title if len(title) <= settings.title_limit else title[: settings.title_limit - 1] + "…"


def cut_note(titles: int, settings: MediaSettings) -> str:
    return f"{titles} titles were cut at {settings.title_limit} characters (`title_limit` of [plugin.media])"


def text_notes(container: InputContainer, settings: MediaSettings) -> list[str]:
    """Say which texts about tracks are not kept, or not whole."""
    notes = [
        f"the language of track {stream.index} has {len(stream.language)} letters and was left out"
        for stream in container.streams
        if stream.language and len(stream.language) > LONGEST_LANGUAGE
    ]
    said = [stream.metadata.get("title") or stream.metadata.get("handler_name") for stream in container.streams]
    if long := sum(len(title or "") > settings.title_limit for title in said):
        notes.append(cut_note(long, settings))
    return notes


def check_picture(width: int, height: int, settings: MediaSettings) -> None:
    """Raise ValueError for a picture that would fill the memory, before it is decoded."""
    if width * height > settings.picture_pixel_limit:
        most = f"{settings.picture_pixel_limit / 1e6:.3g}"
        raise ValueError(f"it has {width * height / 1e6:.0f} million pixels, {most} are taken")
    if max(width, height) > MOST_STRETCHED * min(width, height):
        raise ValueError(f"it is {width} pixels wide and {height} high")
