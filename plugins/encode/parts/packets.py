"""A track's packets in a file, exactly as their encoder gave them: what the parts of a film hand to its join.

A line of JSON, then of each packet a head and its bytes. No container of libav's gives back every decoding time: one
derives it anew, the next rounds it to its own clock.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.packet import Packet

from plugins.encode.audio.resample import RATE

#: Presentation and decoding time, duration, size, whether it is a keyframe.
_HEAD = struct.Struct("<qqqI?")

#: Of the sound, whose times count samples.
SOUND_CLOCK = Fraction(1, RATE)


class PacketWriter:
    """Takes packets of one track, and keeps those from `start` on and before `end`, in seconds."""

    def __init__(
        self,
        path: Path,
        clock: Fraction,
        extradata: bytes = b"",
        start: Fraction | None = None,
        end: Fraction | None = None,
    ) -> None:
        self.path = path
        # Rounded as the encoder rounds its frames' times.
        self._first = None if start is None else round(start / clock)
        self._behind = None if end is None else round(end / clock)
        self._file = path.open("wb")
        about = {"clock": str(clock), "extradata": extradata.hex()}
        self._file.write(json.dumps(about).encode() + b"\n")

    def mux(self, packets: Iterable[Packet[Any]], track: str) -> None:  # noqa: ARG002 - there is one
        for packet in packets:
            assert packet.pts is not None
            assert packet.dts is not None
            if self._first is not None and packet.pts < self._first:
                continue
            if self._behind is not None and packet.pts >= self._behind:
                continue
            head = packet.pts, packet.dts, packet.duration or 0, packet.size, packet.is_keyframe
            self._file.write(_HEAD.pack(*head))
            self._file.write(packet)

    def close(self) -> None:
        self._file.close()

    def abandon(self) -> None:
        self._file.close()


class PacketFile:
    """Reads what a `PacketWriter` wrote, as often as it is asked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            about = json.loads(file.readline())
            self._start = file.tell()
        self.clock = Fraction(about["clock"])
        self.extradata = bytes.fromhex(about["extradata"])

    def __iter__(self) -> Iterator[Packet[Any]]:
        with self._path.open("rb") as file:
            file.seek(self._start)
            while head := file.read(_HEAD.size):
                pts, dts, duration, size, is_keyframe = _HEAD.unpack(head)
                packet: Packet[Any] = av.Packet(file.read(size))
                packet.pts, packet.dts, packet.duration, packet.time_base = pts, dts, duration, self.clock
                packet.is_keyframe = is_keyframe
                yield packet
