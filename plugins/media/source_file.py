"""A source read packet by packet, its clock mended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.packet import Packet

from plugins.media.opener import path_of, refuses, unreadable

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

#: Containers whose clock may start anew in mid-file: a recorder that was paused, files that were laid end to end.
_RESTARTING = {"mpegts", "mpeg"}

#: Seconds by which a clock must leap to count as restarted; as ffmpeg's -dts_delta_threshold.
_LEAP = 10

#: Pictures by which one of a slow film may be late.
_SLOW = 5

#: Seconds without a packet that no source has, in a container that says nothing of its length.
_LONGEST_GAP = 3600

#: Times on end that a demuxer may fail before the rest of the file is given up.
_FAULTS = 16

#: Seconds by which two tracks may disagree on a restart.
_SAME_RESTART = 1


def may_restart(container: InputContainer) -> bool:
    return container.format.name in _RESTARTING


def packets(
    container: InputContainer, streams: Iterable[Stream], on_damage: Callable[[], None] = lambda: None
) -> Iterator[Packet[Any]]:
    """Demux to the end, over what is damaged if libav can go on behind it, with a last, empty packet a stream.

    :param on_damage: told where the file, or its clock, is broken.
    :raises BadSource: the system can't read the file.
    """
    streams = list(streams)
    clock = Clock(container, on_damage)
    faults = 0
    while faults < _FAULTS:
        try:
            for packet in container.demux(streams):
                faults = 0
                clock.mend(packet)
                # One without data repeats a picture (Theora, AVI); a decoder would take it for the last of all.
                if packet.size or packet.dts is None:
                    yield packet
            return
        except av.error.FFmpegError as error:
            if refuses(error, path_of(container)):
                raise unreadable(path_of(container), error) from error
            faults += 1
            on_damage()
    for stream in streams:
        yield flush(stream)


def flush(stream: Stream) -> Packet[Any]:
    """Return the empty packet that makes a decoder give out what it holds back."""
    packet: Packet[Any] = Packet()
    packet.stream, packet.time_base = stream, stream.time_base or Fraction(0)
    return packet


class Clock:
    """Makes one running clock of one that leaps.

    Each track keeps to its own measure, so that packets of before and after the leap may mix; the second track to
    leap takes over the first one's measure, so that they stay together.
    """

    def __init__(self, container: InputContainer, on_leap: Callable[[], None]) -> None:
        self._may_restart = may_restart(container)
        self._stated = Fraction(container.duration or 0, av.time_base)
        self._on_leap = on_leap
        self._first: Fraction | None = None
        self._added: dict[int, Fraction] = {}
        self._last: dict[int, Fraction] = {}
        self._expected: dict[int, Fraction] = {}

    def mend(self, packet: Packet[Any]) -> None:
        """Set a packet's stamps right; those of each track come in order of decoding."""
        if packet.dts is None:
            return
        track, unit = packet.stream.index, packet.time_base
        added = self._added.get(track, Fraction(0))
        time = packet.dts * unit + added
        if self._leaps(packet.stream, time):
            self._on_leap()
            own = added + self._expected[track] - time
            added = next((other for other in self._added.values() if abs(other - own) < _SAME_RESTART), own)
            time = packet.dts * unit + added
        self._added[track] = added
        self._last[track] = time
        self._expected[track] = time + (packet.duration or 0) * unit
        if added:
            packet.dts += round(added / unit)
            if packet.pts is not None:
                packet.pts += round(added / unit)

    def _leaps(self, stream: Stream, time: Fraction) -> bool:
        """Tell a clock that is wrong from a stretch without packets."""
        if self._first is None:
            self._first = time
        if stream.index not in self._expected or stream.type == "subtitle":
            return False
        gap = time - self._expected[stream.index]
        if not self._may_restart:
            if self._last[stream.index] - time > _LEAP:
                return True
            most = max(self._stated - (self._expected[stream.index] - self._first), Fraction(0)) + _LEAP
            return gap > (most if self._stated else _LONGEST_GAP)
        rate = stream.average_rate if stream.type == "video" else None
        slow = _SLOW / rate if rate else 0
        others = (last for index, last in self._last.items() if index != stream.index)
        return abs(gap) > max(_LEAP, slow) and not any(abs(time - other) < _LEAP for other in others)
