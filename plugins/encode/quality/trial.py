"""A sample of a film encoded to one rendition and looked at: what it costs, how large and how good it is.

It is encoded as it would be within the film, keyframes where the film has them: an encoder sees what comes before it
and behind it, because x264's quantisers follow what was, and look ahead by half a hundred frames.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av

from plugins.encode.quality.looks import INSTANT, References, Shown, is_within
from plugins.encode.quality.samples import LENGTH, frames
from plugins.encode.video.encoder import Encoder
from plugins.encode.video.pictures import Scaler, Twins
from plugins.encode.video.still import StillFilter
from plugins.encode.video.timeline import Timeline

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame

    from core import Context
    from plugins.encode.film import Film
    from plugins.encode.profiles import Profile
    from plugins.encode.quality.metrics import Score
    from plugins.encode.video.ladder import Rendition

#: Of the rate buffer, when the run-up begins: it is nearly full where little changes, nearly empty at the cap.
_FILL = 0.5


@dataclass(frozen=True)
class Trial:
    """What became of a sample."""

    score: Score
    #: Of a second of film: bytes, processor seconds.
    bytes: float
    cpu: float


def try_out(begin: Fraction, tried: Sequence[Rendition], profile: Profile, film: Film, context: Context) -> list[Trial]:
    """Encode a sample to renditions of one size, with one decode; nothing if it can't be decoded."""
    trials = _try_out(begin, tried, profile, film, context)
    # A container and its streams hold each other, and hundreds of megabytes.
    gc.collect()
    return trials


def _try_out(
    begin: Fraction, tried: Sequence[Rendition], profile: Profile, film: Film, context: Context
) -> list[Trial]:
    video = film.media.video
    assert video
    scaler, twins = Scaler(tried[0]), Twins()
    references = References(begin, video.rate)
    timeline = Timeline(profile.keyframe_seconds, video.rate, video.time_base, film.lecture.shift)
    still = StillFilter(profile.unchanged, profile.keyframe_seconds, video.rate)
    # What is found must not depend on how many threads a host has.
    encoders = [
        _SampleEncoder(Encoder(replace(one, fill=_FILL), video, profile, threads=1), profile, video.rate, begin)
        for one in tried
    ]

    def encode(changed: Iterator[VideoFrame]) -> None:
        for frame in changed:
            picture = scaler.scale(frame)
            for encoder in encoders:
                if not encoder.is_done:
                    # Each encoder writes its clock into the frame that it is given.
                    encoder.put(twins.copy(picture))

    for frame in frames(begin, film, context):
        timeline.stamp(frame)
        assert frame.pts is not None
        at = frame.pts * video.time_base
        if references.want(at):
            references.add(at, twins.copy(scaler.scale(frame)))
        encode(still.put(frame))
        if all(encoder.is_done for encoder in encoders):
            break
    encode(still.flush())
    return [encoder.judged(references) for encoder in encoders] if references else []


class _SampleEncoder:
    """One encoder, until all of the sample has come out of it."""

    def __init__(self, encoder: Encoder, profile: Profile, rate: Fraction, begin: Fraction) -> None:
        self._owner, self._keyframe_seconds, self._rate = encoder, profile.keyframe_seconds, rate
        self._context = encoder.stream.codec_context
        self._begin = begin
        self._packets: list[Packet[Any]] = []
        self._awaited = 0
        self._is_past = False
        self._is_flushed = False
        self._cpu = 0.0

    @property
    def is_done(self) -> bool:
        return self._is_flushed or (self._is_past and self._awaited == 0)

    def put(self, picture: VideoFrame) -> None:
        assert picture.pts is not None
        assert picture.time_base is not None
        now = picture.pts * picture.time_base
        self._is_past = now >= self._begin + LENGTH - INSTANT
        self._awaited += is_within(self._begin, now)
        self._encode(picture)

    def judged(self, references: References) -> Trial:
        if not self.is_done:
            self._encode(None)
            self._is_flushed = True
        unit = self._context.time_base
        assert unit
        codec = "libdav1d" if self._context.codec.name == "libsvtav1" else "h264"
        score = references.score(Shown(_decoded(self._packets, codec, self._context.extradata, unit)))
        times = [(packet.pts or 0) * unit for packet in self._packets]
        length = max(times) - min(times) + 1 / self._rate
        return Trial(score, self._bytes(unit), self._cpu / float(length))

    def _encode(self, picture: VideoFrame | None) -> None:
        begun = time.thread_time()
        packets = self._context.encode(picture)
        self._cpu += time.thread_time() - begun
        unit = self._context.time_base
        assert unit
        self._packets += packets
        self._awaited -= sum(is_within(self._begin, (packet.pts or 0) * unit) for packet in packets)

    def _bytes(self, unit: Fraction) -> float:
        """Return the bytes of a second: a sample may hold no keyframe, or more than its share."""
        wanted = [packet for packet in self._packets if is_within(self._begin, (packet.pts or 0) * unit)]
        keyframes = [packet.size for packet in wanted if packet.is_keyframe]
        rest = sum(packet.size for packet in wanted if not packet.is_keyframe)
        keyframe = sum(keyframes) / len(keyframes) if keyframes else 0.0
        return keyframe / self._keyframe_seconds + rest / float(LENGTH)


def _decoded(
    packets: Sequence[Packet[Any]], codec: str, extradata: bytes | None, unit: Fraction
) -> Iterator[tuple[Fraction, VideoFrame]]:
    decoder = cast("av.VideoCodecContext", av.CodecContext.create(codec, "r"))
    decoder.extradata = extradata
    # Threads hold a frame each.
    decoder.thread_count = 1
    for packet in (*packets, None):
        for frame in decoder.decode(packet):
            yield (frame.pts or 0) * unit, frame
