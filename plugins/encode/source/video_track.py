"""The picture track of a source: how it lies in the file, and how it is meant to be shown."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import av
from av.filter import Graph

from plugins.encode.source.orientation import orientation
from plugins.media.decoding import Damaged, decode, time_of
from plugins.media.opener import open_source
from plugins.media.settings import DEFAULTS, MediaSettings
from plugins.media.source_file import packets

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_UNSPECIFIED = 2

#: Above this a frame rate is the resolution of the clock (a MediaRecorder's WebM says 1000), not a rate.
_MAX_RATE = 240

#: Frames a second that are kept at most; of a faster film each second, third or fourth frame is.
FASTEST = 60

#: Lines of the formats that were ever interlaced (ITU-R BT.601, BT.709), with their padding to whole macroblocks.
_INTERLACED_HEIGHTS = {480, 486, 512, 576, 608, 1080, 1088}

#: Codecs that know no fields.
_PROGRESSIVE_CODECS = {"vp8", "vp9", "av1", "hevc", "mjpeg", "png"}

#: Where in the film to look for fields, and at how many frames there.
_LOOK_AT = (0.25, 0.6)
_LOOK_FOR = 30

#: "flagged": the stream says which frames are interlaced. "tff", "bff": it doesn't, but their lines tell, and which
#: field comes first.
Fields = Literal["progressive", "flagged", "tff", "bff"]


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
    #: As it is kept; the source may have a multiple of it.
    rate: Fraction
    time_base: Fraction
    colour: Colour
    #: Left and right are to be exchanged, before the turn.
    is_mirrored: bool = False
    #: Width of a pixel by its height.
    pixel_aspect: Fraction = Fraction(1)
    fields: Fields = "progressive"
    #: One frame of so many is kept.
    keep_one_in: int = 1
    #: Time stamp of the first picture in seconds.
    begins: Fraction = Fraction(0)


def describe(
    stream: VideoStream, frame: VideoFrame, path: Path, duration: float, settings: MediaSettings = DEFAULTS
) -> VideoTrack:
    """Describe a track from its first frame."""
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or Fraction(1)
    width, height = max(round(frame.width * aspect), 1), frame.height
    turn, is_mirrored = orientation(frame)
    if turn in {90, 270}:
        width, height = height, width
    assert stream.time_base is not None
    rate = _rate(stream, path, settings)
    keep_one_in = max(math.ceil(rate / FASTEST - Fraction(1, 100)), 1)
    return VideoTrack(
        index=stream.index,
        width=width,
        height=height,
        turn=turn,
        rate=rate / keep_one_in,
        time_base=stream.time_base,
        colour=_colour(frame),
        is_mirrored=is_mirrored,
        pixel_aspect=aspect,
        fields=_fields(stream, frame, path, duration, settings),
        keep_one_in=keep_one_in,
        begins=time_of(frame),
    )


def _colour(frame: VideoFrame) -> Colour:
    # RGB says that there is no matrix; what is encoded has one.
    matrix = _UNSPECIFIED if frame.format.is_rgb else frame.colorspace
    return Colour(frame.color_primaries, frame.color_trc, matrix)


def _rate(stream: VideoStream, path: Path, settings: MediaSettings) -> Fraction:
    """Return the frame rate that the file states, else what its first frames show."""
    for rate in (stream.guessed_rate, stream.average_rate):
        if rate and 0 < rate <= _MAX_RATE:
            return rate
    with open_source(path, settings) as container:
        first = itertools.islice(packets(container, [container.streams[stream.index]]), 250)
        times = sorted(packet.pts * packet.time_base for packet in first if packet.pts is not None)
    gaps = sorted(after - before for before, after in itertools.pairwise(times) if after > before)
    return min(Fraction(round(1 / gaps[len(gaps) // 2])) or Fraction(1), Fraction(_MAX_RATE)) if gaps else Fraction(25)


def _fields(stream: VideoStream, frame: VideoFrame, path: Path, duration: float, settings: MediaSettings) -> Fields:
    """Tell whether a film is interlaced, by its flags or, where fields were common, by the look of its lines."""
    if frame.interlaced_frame:
        return "flagged"
    if frame.height not in _INTERLACED_HEIGHTS or stream.codec_context.name in _PROGRESSIVE_CODECS:
        return "progressive"
    seen: Counter[str] = Counter()
    for place in _LOOK_AT:
        look = Graph()
        source = look.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=stream.time_base
        )
        look.link_nodes(source, look.add("idet"), look.add("buffersink")).configure()
        verdict: dict[str, str] = {}
        for sample in itertools.islice(_frames_from(path, stream.index, duration * place, settings), _LOOK_FOR):
            if sample.interlaced_frame:
                return "flagged"
            if (sample.width, sample.height, sample.format.name) != (frame.width, frame.height, frame.format.name):
                continue
            look.vpush(sample)
            with suppress(BlockingIOError):
                verdict = look.vpull().metadata
        seen.update(
            {
                kind: round(float(verdict.get(f"lavfi.idet.multiple.{kind}", 0)))
                for kind in ("tff", "bff", "progressive")
            }
        )
    # Stills and slow movement count for neither; a few frames that look interlaced are fine print.
    first: Fields = "tff" if seen["tff"] >= seen["bff"] else "bff"
    return first if seen[first] > max(2 * seen["progressive"], _LOOK_FOR // 3) else "progressive"


def _frames_from(path: Path, index: int, seconds: float, settings: MediaSettings) -> Iterator[VideoFrame]:
    with open_source(path, settings) as container:
        stream = container.streams.video[0]
        stream = next(video for video in container.streams.video if video.index == index)
        start = (container.start_time or 0) / av.time_base
        with suppress(av.error.FFmpegError, OSError):
            container.seek(round((start + seconds) * av.time_base))
        for packet in packets(container, [stream]):
            with suppress(Damaged):
                yield from decode(packet)
