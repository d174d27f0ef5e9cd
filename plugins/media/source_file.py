"""A source as a file: opened with care, read packet by packet, its clock mended."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import av
from av.packet import Packet

from core import BadSource
from plugins.media.boxes import lacks_index

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

#: Demuxers that may read a source. Left out: pictures, and whatever opens further files or addresses (HLS, DASH,
#: concat), with which an uploaded text could have other files of the server read.
CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dv,eac3,flac,flv,gxf,matroska,webm,mov,mp4,m4a,3gp,mp3,mpeg,mpegts,mxf,nut,"
    "ogg,rm,w64,wav,wv"
)

#: What libav may open, and how. Files that a QuickTime track refers to stay closed unless `enable_drefs` is given.
LIMITS = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}

#: What the system says of a file that it can't read; whatever else libav says is the file's own fault.
_UNREADABLE = {errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOENT, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT}

REMEDY = "upload a recording that a media player can play"

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


def open_source(path: Path) -> InputContainer:
    """Open what somebody uploaded or named, for reading; nothing else is opened, whatever it says.

    :raises BadSource: it is no media file, or can't be read.
    """
    check_file(path)
    try:
        # libav would take the beginning of a relative path for a protocol: "concat:a.mp4", "12:30.mp4".
        return av.open(str(path.absolute()), "r", container_options=LIMITS, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        if refuses(error, path):
            raise unreadable(path, error) from error
        if lacks_index(path):
            problem = f"{path} was cut off: its index (moov), written last, is missing"
            raise BadSource(problem, remedy="upload it again, whole", path=str(path)) from error
        raise BadSource(f"{path} is not an audio or video file", remedy=REMEDY, path=str(path)) from error


def check_file(path: Path) -> None:
    """Raise BadSource unless this is a file with something in it that may be read."""
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode) and not stat.S_ISDIR(info.st_mode):
            raise BadSource(f"{path} is a device or a pipe", remedy="name a file", path=str(path))
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise BadSource(f"{path} does not exist", remedy="check its name", path=str(path)) from None
    except IsADirectoryError:
        raise BadSource(f"{path} is a folder", remedy="name the file in it", path=str(path)) from None
    except OSError as error:
        raise unreadable(path, error) from error
    if not info.st_size:
        raise BadSource(f"{path} is empty", remedy="upload it again", path=str(path))


def unreadable(path: Path, error: OSError) -> BadSource:
    problem = f"{path} can't be read ({error.strerror})"
    return BadSource(problem, remedy="check its permissions and where it is mounted", path=str(path))


def refuses(error: Exception, path: Path) -> TypeGuard[OSError]:
    """Tell what the system says of a file from the like-named errors of a demuxer that is given nonsense."""
    if not (isinstance(error, OSError) and error.errno in _UNREADABLE):
        return False
    try:
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass
    except OSError:
        return True
    return False


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
            if refuses(error, Path(container.name)):
                raise unreadable(Path(container.name), error) from error
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
