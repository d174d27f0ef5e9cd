"""What of a track reaches the result: the stretches of time for which a file has, or had, packets and no frame came."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from plugins.media.decoding import time_of
from plugins.media.source_file import may_restart
from plugins.media.truncation import shortening, states_duration

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.frame import VideoFrame

#: From and until, in seconds.
Hole = tuple[Fraction, Fraction]

#: Seconds by which the stamps of sound may leap though nothing is missing: recorders' clocks jitter.
_JITTER = Fraction(1, 10)

#: Seconds that may be missing without a word.
MOMENT = 1

#: Packets within which a decoder gives a picture back; it reorders 16 and has as many threads.
_DELAY = 128

#: Packets without a picture that make a loss; a codec may hide one (VP8's alternate reference).
_HIDDEN = 3

#: Pictures a second that make a film whose steady rate tells a loss from a slide that stays.
_FILM = 5

#: Pictures at that rate, for each gap, that show it to be steady; slides have none.
_RUN = 10

#: Places that a note names.
_NAMED = 3


class SoundCoverage:
    """Follows the frames of an audio track, which should lie end to end."""

    def __init__(self) -> None:
        self._holes: list[Hole] = []
        self._end: Fraction | None = None
        self._last_packet: Fraction | None = None
        self._is_damaged = False

    def demuxed(self, packet: Packet[Any]) -> None:
        """Take note of a packet that is about to be decoded."""
        if packet.pts is None or packet.is_discard:
            return
        if self._end is None:
            self._end = packet.pts * packet.time_base
        end = (packet.pts + (packet.duration or 0)) * packet.time_base
        self._last_packet = end if self._last_packet is None else max(end, self._last_packet)

    def damaged(self) -> None:
        """Take note that a packet, or a frame, was of no use."""
        self._is_damaged = True

    def span(self, frame: AudioFrame) -> Hole:
        """Return from when to when a frame is heard."""
        start = time_of(frame) if frame.pts is not None else self._end or Fraction(0)
        return start, start + Fraction(frame.samples, frame.sample_rate or 1)

    def covered(self, span: Hole) -> None:
        """Take note of a frame that was used."""
        start, end = span
        reached = self._end
        if reached is not None and start - reached > (0 if self._is_damaged else _JITTER):
            self._holes.append((reached, start))
        elif reached is not None and reached - start > _JITTER:  # what overlaps is cut
            self._holes.append((start, min(end, reached)))
        self._end = end if reached is None else max(end, reached)
        self._is_damaged = False

    def finish(self, end: Fraction | None = None) -> list[Hole]:
        """Return what is missing, up to where the file says that the track ends or to its last packet."""
        last = max((one for one in (end, self._last_packet) if one is not None), default=None)
        if self._end is not None and last is not None and last - self._end > _JITTER:
            self._holes.append((self._end, last))
        return merged(self._holes)


class PictureCoverage:
    """Follows the frames of a picture track, each of which may last as long as it likes.

    A stretch without a picture is a loss when packets in it gave none, when the file is damaged there, or when the
    sound is missing too; in a film without sound, when the pictures come at a steady rate everywhere else.
    """

    def __init__(self, rate: Fraction) -> None:
        self._holes: list[Hole] = []
        #: Gaps that nothing explains.
        self._gaps: list[Hole] = []
        self._usual = 1 / rate
        self._waiting: list[Fraction] = []
        self._end: Fraction | None = None
        self._last_packet: Fraction | None = None
        self._is_damaged = False
        self._is_steady = rate >= _FILM
        self._followed = 0

    def demuxed(self, packet: Packet[Any]) -> None:
        """Take note of a packet that is about to be decoded."""
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None or not packet.size or packet.is_discard:
            return
        time = stamp * packet.time_base
        if self._end is None:
            self._end = time
        insort(self._waiting, time)
        del self._waiting[:-_DELAY]
        self._last_packet = time if self._last_packet is None else max(time, self._last_packet)

    def damaged(self) -> None:
        """Take note that a packet, or a frame, was of no use."""
        self._is_damaged = True

    def span(self, frame: VideoFrame) -> Hole:
        """Return from when to when a frame is shown at least."""
        start = time_of(frame)
        return start, start + (frame.duration * (frame.time_base or Fraction(0)) or self._usual)

    def covered(self, span: Hole) -> None:
        """Take note of a frame that was used."""
        start, end = span
        if self._end is not None and start - self._end <= self._usual:
            self._followed += 1
        if self._end is not None and start > self._end:
            self._look_at(self._end, start)
        while self._waiting and self._waiting[0] <= start:
            del self._waiting[0]
        self._end = end if self._end is None else max(end, self._end)
        self._is_damaged = False

    def _look_at(self, end: Fraction, start: Fraction) -> None:
        lost = sum(end <= time < start for time in self._waiting)
        if self._is_damaged or lost >= _HIDDEN:
            self._holes.append((end, start))
        elif start - end > MOMENT:
            self._gaps.append((end, start))
        elif start - end > self._usual:
            self._is_steady = False

    def finish(self, end: Fraction | None = None, silent: Sequence[Hole] | None = None) -> list[Hole]:
        """Return what is missing.

        :param end: where the file says that the track ends.
        :param silent: what is missing of the sound; a gap in both is a loss. None for a film without sound.
        """
        ends = [] if self._last_packet is None else [self._last_packet + self._usual]
        last = max([*ends, *([end] if end is not None else [])], default=None)
        if self._end is not None and last is not None and last > self._end:
            self._holes.append((self._end, last))
        is_steady = self._is_steady and self._followed >= _RUN * len(self._gaps)
        self._holes += [
            gap
            for gap in self._gaps
            if (is_steady if silent is None else any(start < gap[1] and gap[0] < end for start, end in silent))
        ]
        return merged(self._holes)


class NoCoverage:
    """Of a track whose pieces may lie anywhere."""

    def demuxed(self, packet: Packet[Any]) -> None:
        """Nothing follows from a packet."""

    def damaged(self) -> None:
        """Nothing follows from a packet that can't be decoded."""

    def span(self, piece: object) -> Hole:  # noqa: ARG002 - as the others
        return Fraction(0), Fraction(0)

    def covered(self, span: Hole) -> None:
        """Nothing follows from a piece."""


def stated_end(stream: Stream) -> Fraction | None:
    """Return when a track ends by the index of an MP4 or the header of an Ogg or FLAC; None where neither tells."""
    unit = stream.time_base
    name = stream.container.format.name
    if not unit:
        return None
    if "mp4" in name:
        last = next((entry for entry in reversed(stream.index_entries) if not entry.is_discard), None)
        return None if last is None else last.timestamp * unit
    if name in {"ogg", "flac"} and stream.duration and stream.start_time is not None:
        return (stream.start_time + stream.duration) * unit
    return None


class Extent:
    """How far the packets of a file reach, whether or not they can be decoded."""

    def __init__(self) -> None:
        self._end: Fraction | None = None

    def demuxed(self, packet: Packet[Any]) -> None:
        if packet.pts is not None:
            end = (packet.pts + (packet.duration or 0)) * packet.time_base
            self._end = end if self._end is None else max(end, self._end)

    def missing(self, container: InputContainer, path: Path) -> list[Hole]:
        """Return what the file's header promises behind the last packet."""
        kind, start = container.format.name, Fraction(container.start_time or 0, av.time_base)
        if self._end is None or may_restart(container) or not states_duration(path, kind):
            return []
        # Matroska's duration counts from zero, wherever the first packet is.
        first = Fraction(0) if "matroska" in kind else start
        stated = Fraction(container.duration or 0, av.time_base) * Fraction(shortening(path))
        end = first + stated
        return [(self._end, end)] if end - self._end >= MOMENT else []


def merged(holes: Iterable[Hole]) -> list[Hole]:
    """Make one of holes that meet."""
    whole: list[Hole] = []
    for start, end in sorted(holes):
        if whole and start <= whole[-1][1]:
            whole[-1] = whole[-1][0], max(end, whole[-1][1])
        else:
            whole.append((start, end))
    return whole


def seconds_of(holes: Iterable[Hole]) -> float:
    return float(sum(end - start for start, end in holes))


def loss(what: str, holes: Sequence[Hole]) -> list[str]:
    """Say what is missing and where, the longest places by name; nothing if that is less than a moment."""
    if seconds_of(holes) < MOMENT:
        return []
    longest = sorted(sorted(holes, key=lambda hole: hole[0] - hole[1])[:_NAMED])
    places = ", ".join(f"{float(start):.1f} to {float(end):.1f}" for start, end in longest)
    more = f" and {len(holes) - _NAMED} shorter ones" if len(holes) > _NAMED else ""
    return [f"{seconds_of(holes):.1f} s of the {what} can't be read and are missing: second {places}{more}"]
