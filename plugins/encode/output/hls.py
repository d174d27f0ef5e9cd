"""HLS playlists (RFC 8216): what a rendition's tells, and the master that names them all."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

_SEGMENT = re.compile(r"#EXTINF:([\d.]+),[^\n]*\n#EXT-X-BYTERANGE:(\d+)@(\d+)")
_MAP = re.compile(r'#EXT-X-MAP:URI="[^"]*",BYTERANGE="(\d+)@(\d+)"')
_LENGTH = re.compile(r"#EXTINF:[\d.]+,")
_TARGET = re.compile(r"#EXT-X-TARGETDURATION:(\d+)")

#: ffmpeg's command line sets this delay (microseconds); without it each AAC frame gets a PES header of its own.
_TS_DELAY = {"max_delay": "700000"}

#: Seconds of a segment that has but one picture, at which the film ends.
_SHORTEST = 0.001


@dataclass(frozen=True)
class HlsSegment:
    """Seconds, and bytes of the rendition's one file."""

    seconds: float
    size: int
    offset: int


@dataclass(frozen=True)
class Variant:
    """A rendition as the master playlist offers it."""

    uri: str
    #: Bits a second: the peak as RFC 8216 section 4.3.4.2 measures it, and the mean.
    bandwidth: int
    average_bandwidth: int
    width: int
    height: int
    #: Most frames in a second.
    frame_rate: Fraction
    #: RFC 6381.
    codecs: str
    #: The group of choices of its sound.
    group: str = "audio"


@dataclass(frozen=True)
class AudioChoice:
    """A language to choose; one without address is what the renditions hold."""

    name: str
    language: str | None
    uri: str | None = None
    is_default: bool = False
    #: Choices of one codec.
    group: str = "audio"


def read_segments(playlist: str) -> list[HlsSegment]:
    """Return the segments of a single-file byte-range playlist."""
    return [HlsSegment(float(length), int(size), int(offset)) for length, size, offset in _SEGMENT.findall(playlist)]


def settle(playlists: Mapping[Path, Fraction], end: float) -> None:
    """Have every playlist of a film last as long as the film, with one target duration (RFC 8216, 6.2.4).

    libav counts the first segment from the first picture on, and ends the last one with the last picture, whatever is
    heard before and behind.

    :param playlists: with the second at which the first picture, or the sound, of each begins.
    :param end: seconds of the film.
    """
    texts = {path: path.read_text() for path in playlists}
    lengths = {path: [segment.seconds for segment in read_segments(text)] for path, text in texts.items()}
    for path, seconds in lengths.items():
        seconds[0] += float(playlists[path])
        seconds[-1] = max(end - sum(seconds[:-1]), _SHORTEST)
    # Halves are rounded up (RFC 8216, 4.3.3.1), not to the even number.
    target = max(math.floor(length + 0.5) for seconds in lengths.values() for length in seconds)
    for path, text in texts.items():
        lines = iter([f"#EXTINF:{length:.6f}," for length in lengths[path]])
        text_of_segments = _LENGTH.sub(functools.partial(_next, lines), text)
        path.write_text(_TARGET.sub(f"#EXT-X-TARGETDURATION:{max(target, 1)}", text_of_segments))


def _next(lines: Iterator[str], _: re.Match[str]) -> str:
    return next(lines)


def read_map(playlist: str) -> HlsSegment:
    """Return where the header lies that every segment of fragmented MP4 needs."""
    found = _MAP.search(playlist)
    if not found:
        raise ValueError("a playlist of fragmented MP4 names no header")
    return HlsSegment(0.0, int(found[1]), int(found[2]))


def bandwidths(playlist: str) -> tuple[int, int]:
    """Return the peak and the mean bit rate of a rendition.

    The peak is the highest rate of any run of segments that lasts between half and one and a half target durations
    (RFC 8216, 4.3.4.2).
    """
    segments = read_segments(playlist)
    target = float(found[1]) if (found := _TARGET.search(playlist)) else 0.0
    mean = sum(segment.size for segment in segments) * 8 / sum(segment.seconds for segment in segments)
    peak = mean
    for first in range(len(segments)):
        seconds = size = 0.0
        for segment in segments[first:]:
            seconds += segment.seconds
            size += segment.size
            if seconds > 1.5 * target:
                break
            if seconds >= 0.5 * target:
                peak = max(peak, size * 8 / seconds)
    return math.ceil(peak), round(mean)


def master(variants: Sequence[Variant], choices: Sequence[AudioChoice] = ()) -> str:
    """Write the master playlist; players start with the first variant."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-INDEPENDENT-SEGMENTS"]
    lines += [_media(choice) for choice in choices]
    for variant in variants:
        attributes = (
            f"BANDWIDTH={variant.bandwidth}",
            f"AVERAGE-BANDWIDTH={variant.average_bandwidth}",
            f"RESOLUTION={variant.width}x{variant.height}",
            f"FRAME-RATE={float(variant.frame_rate):.3f}",
            f'CODECS="{variant.codecs}"',
            *([f'AUDIO="{variant.group}"'] if choices else []),
        )
        lines += [f"#EXT-X-STREAM-INF:{','.join(attributes)}", variant.uri]
    return "\n".join(lines) + "\n"


def _media(choice: AudioChoice) -> str:
    is_default = "YES" if choice.is_default else "NO"
    attributes = ["TYPE=AUDIO", f'GROUP-ID="{choice.group}"', f'NAME="{_quotable(choice.name)}"']
    if choice.language:
        attributes.append(f'LANGUAGE="{_quotable(choice.language)}"')
    attributes += [f"DEFAULT={is_default}", "AUTOSELECT=YES"]
    if choice.uri:
        attributes.append(f'URI="{choice.uri}"')
    return "#EXT-X-MEDIA:" + ",".join(attributes)


def _quotable(text: str) -> str:
    """Leave out what a quoted string can't hold (RFC 8216, 4.2)."""
    return " ".join(text.replace('"', "'").split())


def avc_codec(extradata: bytes) -> str:
    """Name an H.264 stream as RFC 6381 does, from the profile, constraint and level bytes of its SPS (Annex B)."""
    sps = re.search(rb"\x00\x00\x01[\x67\x47\x27](.{3})", extradata, re.DOTALL)
    if not sps:
        raise ValueError("an H.264 encoder gave no sequence parameter set")
    return f"avc1.{sps[1].hex()}"


def options(segment_seconds: float, segments: Path) -> dict[str, str]:
    """Return what FFmpeg's muxer is told; how long segments are is the profile's `segment_seconds` (profiles.py)."""
    kind = {"hls_segment_type": "fmp4", "hls_segment_filename": str(segments)} if segments.suffix == ".m4s" else {}
    return {
        **kind,
        "hls_time": f"{segment_seconds:g}",
        "hls_playlist_type": "vod",
        "hls_flags": "single_file+independent_segments",
        **_TS_DELAY,
    }
