"""Whether the end of a file is missing, told from the lengths that its container states.

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


def is_truncated(path: Path) -> bool:
    """Tell whether an MP4, Matroska, WebM, AVI or WAVE file is shorter than it says; other kinds don't say."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[4:8] == b"ftyp":
            return max(end for _, end in boxes(file)) > size
        if head[:4] == _EBML:
            return _matroska_end(file) > size
        if head[:4] == b"RIFF":
            return 8 + int.from_bytes(head[4:8], "little") > size
    return False


def shortening(path: Path) -> float:
    """Return by how much the duration that libav gives for an AVI or WAVE file falls short of the stated one.

    It reduces their durations to what is there, in proportion to the bytes. 1 for a whole file and for other kinds.
    """
    with path.open("rb") as file:
        head = file.read(8)
    stated = 8 + int.from_bytes(head[4:8], "little") if head[:4] == b"RIFF" else 0
    return max(stated / path.stat().st_size, 1.0)


def is_cut(reached: float, expected: float) -> bool:
    """Tell whether too much is missing to take the rest for the lecture: more than 1 %, and than half a second."""
    return expected - reached > max(expected / 100, 0.5)


def cut_off(path: Path, reached: float, expected: float) -> BadSource:
    problem = f"{path} was cut off: it ends at second {reached:.1f} of {expected:.1f}"
    return BadSource(problem, remedy="upload it again, whole", path=str(path))


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
