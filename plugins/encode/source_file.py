"""A source as a file: opened with care, read packet by packet, its clock mended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av

from core import BadSource
from plugins.encode.truncation import lacks_index

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

#: Demuxers that may read a source. Left out: pictures, and whatever opens further files or addresses (HLS, DASH,
#: concat), with which an uploaded text could have other files of the server read.
CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dv,eac3,flac,flv,gxf,matroska,webm,mov,mp4,m4a,3gp,mp3,mpeg,mpegts,mxf,nut,"
    "ogg,rm,w64,wav,wv"
)

REMEDY = "upload a recording that a media player can play"

#: Containers whose clock may start anew in mid-file: a recorder that was paused, files that were laid end to end.
_RESTARTING = {"mpegts", "mpeg"}

#: Seconds by which a clock must leap to count as restarted; as ffmpeg's -dts_delta_threshold.
_LEAP = 10

#: Seconds by which two tracks may disagree on a restart.
_SAME_RESTART = 1


def open_source(path: Path) -> InputContainer:
    """Open a source for reading; raises BadSource."""
    limits = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    try:
        return av.open(str(path), "r", container_options=limits, metadata_errors="replace")
    except (av.error.InvalidDataError, av.error.ArgumentError, ValueError) as error:
        if lacks_index(path):
            problem = f"{path} was cut off: its index (moov), written last, is missing"
            raise BadSource(problem, remedy="upload it again, whole", path=str(path)) from error
        raise BadSource(f"{path} is not an audio or video file", remedy=REMEDY, path=str(path)) from error
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> BadSource:
    problem = f"{path} can't be read ({error.strerror})"
    return BadSource(problem, remedy="check its permissions and where it is mounted", path=str(path))


def may_restart(container: InputContainer) -> bool:
    return container.format.name in _RESTARTING


def packets(container: InputContainer, streams: Iterable[Stream]) -> Iterator[Packet[Stream]]:
    """Demux until the file ends or breaks; how much is missing is for the caller to find."""
    clock = Clock() if may_restart(container) else None
    try:
        for packet in container.demux(list(streams)):
            if clock:
                clock.mend(packet)
            yield packet
    except av.error.InvalidDataError:
        return
    except OSError as error:
        raise unreadable(Path(container.name), error) from error


class Clock:
    """Makes one running clock of one that leaps.

    Each track keeps to its own measure, so that packets of before and after the leap may mix; the second track to
    leap takes over the first one's measure, so that they stay together.
    """

    def __init__(self) -> None:
        self._added: dict[int, Fraction] = {}
        self._expected: dict[int, Fraction] = {}

    def mend(self, packet: Packet[Stream]) -> None:
        """Set a packet's stamps right; those of each track come in order of decoding."""
        if packet.dts is None:
            return
        track, unit = packet.stream.index, packet.time_base
        added = self._added.get(track, Fraction(0))
        time = packet.dts * unit + added
        expected = self._expected.get(track, time)
        if abs(time - expected) > _LEAP:
            own = added + expected - time
            added = next((other for other in self._added.values() if abs(other - own) < _SAME_RESTART), own)
            time = packet.dts * unit + added
        self._added[track] = added
        self._expected[track] = time + (packet.duration or 0) * unit
        if added:
            packet.dts += round(added / unit)
            if packet.pts is not None:
                packet.pts += round(added / unit)
