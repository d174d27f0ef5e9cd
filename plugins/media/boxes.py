"""The top-level boxes of MP4 and QuickTime files (ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def boxes(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield the kind and the end of each; the last end lies past the file's when the file was cut."""
    end, position = file.seek(0, 2), 0
    while position + 8 <= end:
        file.seek(position)
        size, kind = struct.unpack(">I4s", file.read(8))
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
        position = position + size if size >= 8 else end
        yield kind, position


def lacks_index(path: Path) -> bool:
    """Tell whether this is an MP4 or QuickTime file without its moov box, which most recorders write last."""
    with path.open("rb") as file:
        kinds = [kind for kind, _ in boxes(file)]
    return kinds[:1] == [b"ftyp"] and b"moov" not in kinds
