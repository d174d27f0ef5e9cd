"""Whether the end of a file is missing, or another recording stands behind it, told from what its container states.

A lecture whose upload broke off must not be published as if it were whole, and a file must not be refused because one
of its tracks is shorter than the others; so it takes both, missing bytes and missing seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from core import BadSource
from plugins.media.boxes import boxes

_EBML = b"\x1a\x45\xdf\xa3"
_MATROSKA_SEGMENT = b"\x18\x53\x80\x67"

#: Boxes that lie in no other (ISO/IEC 14496-12, 6.2.3, and QuickTime's).
_TOP_LEVEL = set(b"ftyp moov mdat moof mfra free skip wide pnot uuid meta sidx ssix styp prft pdin emsg udta".split())

#: Sizes of RIFF chunks that say "unknown": near 2 GiB (sox 0x7FFFF024, arecord 0x7FFFFF24), near 4 GiB (ffmpeg).
_OPEN = range(0x7FFF_F000, 0x8000_1000), range(0xFFFF_F000, 0x1_0000_0000)


#: Containers without a header of their own.
_GUESSED = {"aac", "ac3", "eac3", "amr", "dts"}

#: Bytes in which the tag stands that tells the number of frames, and those in which an Ogg's last page begins.
_FIRST_MP3_FRAME, _LAST_PAGES = 2_000, 70_000

#: Bytes of a transport stream's packet (ISO/IEC 13818-1); each begins with "G".
_TS_PACKET = 188

#: What is said of a file that breaks off.
BROKEN_OFF = "the source breaks off; how much of its end is missing can't be known"

#: What is said of two files in one; players, too, show the first alone.
FOLLOWED = "another recording stands behind the first in this file and was left out: send it by itself"


def is_truncated(path: Path) -> bool:
    """Tell whether an MP4, Matroska, WebM, AVI or WAVE file is shorter than it says; other kinds don't say."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[4:8] == b"ftyp":
            return _mp4_end(file) > size
        if head[:4] == _EBML:
            return _matroska_end(file) > size
    return (_riff_end(head) or 0) > size


def shortening(path: Path) -> float:
    """Return by how much the duration that libav gives for an AVI or WAVE file falls short of the stated one.

    It reduces their durations to what is there, in proportion to the bytes. 1 for a whole file and for other kinds; 0
    for one that doesn't say how long it is.
    """
    with path.open("rb") as file:
        head = file.read(8)
    end = _riff_end(head)
    return 0.0 if end is None else max(end / path.stat().st_size, 1.0)


def states_duration(path: Path, kind: str) -> bool:
    """Tell whether a duration is stated, and no guess of libav's from the bit rate of the first frames.

    :param kind: libav's name of the container.
    """
    if kind != "mp3":
        return kind not in _GUESSED
    with path.open("rb") as file:
        head = file.read(10)
        # ID3v2.4, 3.1: a size of four times seven bits.
        size = sum(byte << 7 * (3 - place) for place, byte in enumerate(head[6:10])) + 10 if head[:3] == b"ID3" else 0
        file.seek(size)
        first = file.read(_FIRST_MP3_FRAME)
    return any(name in first for name in (b"Xing", b"Info", b"VBRI"))


def end_notes(path: Path) -> tuple[str, ...]:
    """Say what is odd about the end of a file, though no length tells it."""
    return (*([BROKEN_OFF] if breaks_off(path) else ()), *([FOLLOWED] if is_followed(path) else ()))


def is_followed(path: Path) -> bool:
    """Tell whether a second MP4 or WAVE file was joined to the first, bytes to bytes, which nothing reads.

    Fragments may come with a head each, and an AVI of more than 1 GiB goes on in a chunk of another kind (OpenDML).
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head[4:8] == b"ftyp":
            kinds = [kind for kind, _ in boxes(file)]
            return kinds.count(b"moov") > 1 and b"moof" not in kinds
        end = _riff_end(head)
        if not end:
            return False
        file.seek(end + end % 2)
        behind = file.read(12)
        return behind[:4] + behind[8:] == head[:4] + head[8:]


def breaks_off(path: Path) -> bool:
    """Tell whether a file ends where none ends of itself, though nothing says how much is missing.

    That is an Ogg without its last page (RFC 3533, 6), or a transport stream in the middle of a packet.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_TS_PACKET + 1)
        if head[:1] == head[_TS_PACKET:] == b"G":
            return size % _TS_PACKET > 0
        if head[:4] != b"OggS":
            return False
        file.seek(max(size - _LAST_PAGES, 0))
        tail = file.read()
    last = tail.rfind(b"OggS")
    return last < 0 or len(tail) < last + 6 or not tail[last + 5] & 4


def is_cut(reached: float, expected: float) -> bool:
    """Tell whether too much is missing to take the rest for the lecture: more than 1 %, and than half a second."""
    return expected - reached > max(expected / 100, 0.5)


def cut_off(path: Path, reached: float, expected: float) -> BadSource:
    problem = f"{path} was cut off: it ends at second {reached:.1f} of {expected:.1f}"
    return BadSource(problem, remedy="upload it again, whole", path=str(path))


def _mp4_end(file: BinaryIO) -> int:
    """Return where the last box ends; bytes that are no box lie behind it."""
    return max((end for kind, end in boxes(file) if kind in _TOP_LEVEL), default=0)


def _riff_end(head: bytes) -> int | None:
    """Return where a RIFF chunk ends, 0 for another kind; None if the one who wrote it into a pipe left that open."""
    if head[:4] != b"RIFF":
        return 0
    size = int.from_bytes(head[4:8], "little")
    return None if size == 0 or any(size in placeholders for placeholders in _OPEN) else 8 + size


def _matroska_end(file: BinaryIO) -> int:
    """Return where the Segment ends (RFC 8794, section 6); 0 if a recorder left that open."""
    file.seek(4)
    file.seek(_variable_integer(file) or 0, 1)
    if file.read(4) != _MATROSKA_SEGMENT:
        return 0
    size = _variable_integer(file)
    return 0 if size is None else file.tell() + size


def _variable_integer(file: BinaryIO) -> int | None:
    """Read an EBML element's size (RFC 8794, section 4); None for "unknown", all ones."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1), "big") & (1 << 7 * length) - 1
    return None if value == (1 << 7 * length) - 1 else value
