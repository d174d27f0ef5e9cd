"""One rendition's thread: frames in, x264, packets to the rendition's files."""

from __future__ import annotations

import math
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import av
from av.codec.context import Flags

from plugins.encode.audio.encoders import EncodedAudio
from plugins.encode.video.av1 import av1_options
from plugins.encode.video.still import longest_usual
from plugins.encode.video.tonemap import shown_colour

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from plugins.encode.profiles import Profile
    from plugins.encode.source.video_track import VideoTrack
    from plugins.encode.video.ladder import Rendition

#: Frames and sounds that may wait for an encoder. x264's own lookahead is what takes memory, not this.
_WAITING = 8

#: Seconds between two looks at whether the other side still lives.
_HEARTBEAT = 0.2

#: Finest clock that an encoder is given; H.264 holds twice its rate in 32 bits.
_FINEST_CLOCK = 1_000_000


class Sink(Protocol):
    """Where packets go; used from one thread after the other."""

    def mux(self, packets: Iterable[Packet[Any]], track: str) -> None:
        """Take packets of a track, "video" or "audio"; they are used up."""

    def close(self) -> None:
        """Finish what was written."""

    def abandon(self) -> None:
        """Let go of it, whatever it holds."""


class Encoder:
    """The open encoder of one rendition; its stream is a template of the tracks that hold its packets."""

    def __init__(self, rendition: Rendition, video: VideoTrack, profile: Profile, threads: int) -> None:
        # A container that writes nowhere owns it, because only a container's streams can be templates of others.
        self._owner = av.open(rendition.name, "w", format="null")
        self.stream = _add_encoder(self._owner, rendition, video, profile, threads)
        self._owner.start_encoding()

    @property
    def extradata(self) -> bytes:
        """The stream's parameter sets, which each part of a film must have alike."""
        extradata = self.stream.codec_context.extradata
        assert extradata, "a global header was asked for"
        return extradata


class RenditionEncoder(threading.Thread):
    """Encodes one rendition beside the others.

    An error ends the thread and is raised to the next caller of `put` or `finish`; `abandon` ends it from outside.
    """

    def __init__(
        self,
        rendition: Rendition,
        video: VideoTrack,
        profile: Profile,
        threads: int,
        open_sink: Callable[[Rendition, VideoStream], Sink],
    ) -> None:
        super().__init__(name=f"encode {rendition.name}", daemon=True)
        self.rendition = rendition
        self.encoder = Encoder(rendition, video, profile, threads)
        self._context = self.encoder.stream.codec_context
        self._sink = open_sink(rendition, self.encoder.stream)
        self._queue: queue.Queue[VideoFrame | Sequence[EncodedAudio] | None] = queue.Queue(_WAITING)
        self._abandoned = threading.Event()
        self._error: BaseException | None = None
        self._clock = DecodingClock(self._context, rendition.rate) if has_gaps(rendition, profile) else None
        #: Pictures encoded so far.
        self.frames = 0

    def put(self, item: VideoFrame | Sequence[EncodedAudio] | None) -> None:
        """Hand over a frame, sounds, or None as the last item; waits while the encoder is behind.

        A frame belongs to the encoder from here on: don't read it again.
        """
        while True:
            if self._error:
                raise self._error
            try:
                return self._queue.put(item, timeout=_HEARTBEAT)
            except queue.Full:
                continue

    def wait(self) -> bool:
        """Wait a moment for the end; tell whether it has come, and raise what went wrong."""
        self.join(_HEARTBEAT)
        if self._error:
            raise self._error
        return not self.is_alive()

    def abandon(self) -> None:
        """End the thread without finishing its files."""
        self._abandoned.set()
        if self.is_alive():
            # A full queue wakes the thread as well.
            if not self._queue.full():
                self._queue.put(None)
            self.join()
        self._sink.abandon()

    def run(self) -> None:
        try:
            while (item := self._queue.get()) is not None and not self._abandoned.is_set():
                self._take(item)
            for packet in self._context.encode_lazy(None):
                if self._abandoned.is_set():
                    return
                self._mux(packet)
            if not self._abandoned.is_set():
                self._sink.close()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that feeds this one
            self._error = error

    def _take(self, item: VideoFrame | Sequence[EncodedAudio]) -> None:
        if isinstance(item, av.VideoFrame):
            if self._clock:
                self._clock.shown(item)
            for packet in self._context.encode(item):
                self._mux(packet)
        else:
            self._sink.mux((sound.to_packet() for sound in item), "audio")

    def _mux(self, packet: Packet[VideoStream]) -> None:
        self.frames += 1
        if self._clock:
            self._clock.stamp(packet)
        self._sink.mux((packet,), "video")


def has_gaps(rendition: Rendition, profile: Profile) -> bool:
    """Tell whether frames are left out of a stream whose order of decoding is not that of showing."""
    return profile.unchanged != "off" and rendition.spec.codec == "h264"


class DecodingClock:
    """Decoding times a constant while before the times at which frames are shown.

    x264 decodes each frame when the last but two is shown. Where frames are left out that is seconds before, and a
    segment would begin seconds after its sound. Frames that are long shown are never reordered (`StillFilter`), so
    twice the usual time is enough for any other.
    """

    def __init__(self, context: VideoCodecContext, rate: Fraction) -> None:
        assert context.time_base
        self._unit = context.time_base
        self._delay = math.ceil(2 * longest_usual(rate) / self._unit)
        self._shown: deque[int] = deque()
        self._last: int | None = None

    def shown(self, frame: VideoFrame) -> None:
        """Take note of a frame before it is encoded."""
        assert frame.pts is not None
        assert frame.time_base is not None
        self._shown.append(round(frame.pts * frame.time_base / self._unit))

    def stamp(self, packet: Packet[VideoStream]) -> None:
        dts = self._shown.popleft() - self._delay
        if self._last is not None:
            dts = max(dts, self._last + 1)
        self._last = packet.dts = dts


def threads_for(rendition: Rendition, renditions: Sequence[Rendition], threads: int) -> int:
    """Return how many threads an encoder gets beside the others: half as many again as there are cores, by pixels.

    x264 by itself takes so many for each, and each thread holds frames.

    :param threads: that the encode may have, 0 for as many as there are cores.
    """
    pixels = {one.name: one.width * one.height for one in renditions}
    share = pixels[rendition.name] / sum(pixels.values())
    return max(round(1.5 * (threads or len(os.sched_getaffinity(0))) * share), 1)


def _add_encoder(
    owner: OutputContainer, rendition: Rendition, video: VideoTrack, profile: Profile, threads: int
) -> VideoStream:
    is_av1 = rendition.spec.codec == "av1"
    stream = owner.add_stream(
        "libsvtav1" if is_av1 else "libx264",
        rendition.rate,
        options=av1_options(rendition, profile) if is_av1 else rendition.x264_options(profile),
        width=rendition.width,
        height=rendition.height,
        pix_fmt="yuv420p",
    )
    context = stream.codec_context
    # The source's clock, so that a variable frame rate passes through as it is.
    context.time_base = video.time_base if video.time_base.denominator <= _FINEST_CLOCK else Fraction(1, _FINEST_CLOCK)
    # PyAV's default is slices, which x264 takes as a wish for worse pictures.
    context.thread_type = "AUTO"
    context.thread_count = threads
    # The last picture lasts as long as the source's, in every file.
    context.flags |= Flags.global_header | Flags.frame_duration
    colour = shown_colour(video.colour)
    context.color_primaries = colour.primaries
    context.color_trc = colour.transfer
    context.colorspace = colour.matrix
    return stream
