"""A sample of a film encoded to one rendition and looked at: what it costs, how large and how good it is."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av

from plugins.encode.quality.metrics import Comparison, Score
from plugins.encode.quality.samples import LENGTH
from plugins.encode.video.encoder import Encoder
from plugins.encode.video.still import StillFilter
from plugins.encode.video.timeline import Timeline

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame

    from plugins.encode.film import Film
    from plugins.encode.profiles import Profile
    from plugins.encode.quality.samples import Sample
    from plugins.encode.video.ladder import Rendition

#: One frame of so many is looked at: neighbours are much alike, and XPSNR costs as much as encoding does.
_LOOK_AT = 3

#: Seconds before the stretch that is looked at, at least.
_BEFORE = 4

#: Of the rate buffer: nearly empty, as it is in the midst of a film whose rate is at its cap. In any other film the
#: second before the stretch that is looked at fills it.
_FILL = 0.1

#: Times that differ by less are one: clocks are rounded.
_INSTANT = Fraction(1, 1000)


@dataclass(frozen=True)
class Trial:
    """What became of a sample."""

    score: Score
    #: Bytes of its keyframe, and of the other frames.
    keyframe: int
    rest: int
    #: Processor seconds for a second of film.
    cpu: float


def encode_sample(sample: Sample, number: int, rendition: Rendition, film: Film, profile: Profile) -> Trial:
    """Encode a sample to a rendition as it would be encoded within the film, but in this one thread.

    What is found must not depend on how many threads a host has.

    :param number: of the rendition among the sample's.
    """
    video = film.media.video
    assert video
    begun = time.thread_time()
    context = Encoder(replace(rendition, fill=_FILL), video, profile, threads=1).stream.codec_context
    assert context.time_base
    still = StillFilter(profile.unchanged, profile.keyframe_seconds, rendition.rate)
    # The stretch that is looked at begins with a keyframe.
    zero = math.ceil(_BEFORE / profile.keyframe_seconds) * Fraction(profile.keyframe_seconds).limit_denominator(1000)
    timeline = Timeline(
        profile.keyframe_seconds, rendition.rate, video.time_base, film.media.origin + sample.begin - zero
    )
    packets: list[Packet[Any]] = []
    for shown in sample.shown:
        # Encoders leave their clock in a frame; its samples they only read.
        picture = shown.pictures[number]
        picture.pts, picture.duration, picture.time_base = shown.pts, shown.duration, video.time_base
        timeline.stamp(picture)
        for changed in still.put(picture, is_new=shown.is_new):
            packets += context.encode(changed)
    for last in still.flush():
        packets += context.encode(last)
    packets += context.encode(None)
    length = sample.shown[-1].time - sample.shown[0].time + 1 / rendition.rate
    cpu = (time.thread_time() - begun) / float(length)
    unit = context.time_base
    sizes = [(packet.size, packet.is_keyframe) for packet in packets if 0 <= (packet.pts or 0) * unit - zero < LENGTH]
    codec = "libdav1d" if rendition.spec.codec == "av1" else "h264"
    film_shows = _Shown(_decoded(packets, codec, context.extradata), unit)
    comparison = Comparison()
    for shown in [one for one in sample.shown if sample.begin <= one.time < sample.begin + LENGTH][::_LOOK_AT]:
        comparison.add(shown.pictures[number], film_shows.at(shown.time - sample.begin + zero))
    # A container and its streams hold each other, and hundreds of megabytes.
    del context, film_shows
    gc.collect()
    keyframes = sum(size for size, is_keyframe in sizes if is_keyframe)
    rest = sum(size for size, is_keyframe in sizes if not is_keyframe)
    return Trial(comparison.score, keyframes, rest, cpu)


class _Shown:
    """What a decoder shows, asked for from time to time."""

    def __init__(self, frames: Iterator[VideoFrame], unit: Fraction) -> None:
        self._frames = (((frame.pts or 0) * unit, frame) for frame in frames)
        self._now = next(self._frames)
        self._next = next(self._frames, None)

    def at(self, time: Fraction) -> VideoFrame:
        while self._next and self._next[0] <= time + _INSTANT:
            self._now, self._next = self._next, next(self._frames, None)
        return self._now[1]


def _decoded(packets: Sequence[Packet[Any]], codec: str, extradata: bytes | None) -> Iterator[VideoFrame]:
    decoder = cast("av.VideoCodecContext", av.CodecContext.create(codec, "r"))
    decoder.extradata = extradata
    # Threads hold a frame each.
    decoder.thread_count = 1
    for packet in packets:
        yield from decoder.decode(packet)
    yield from decoder.decode(None)
