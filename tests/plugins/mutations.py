"""Damage done to recordings, by a seed: what bad memory cards, broken uploads and careless tools do to them."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence

Mutation = Callable[[bytearray, random.Random], None]


def _flip(data: bytearray, chance: random.Random) -> None:
    """Change single bytes anywhere, in headers too."""
    for _ in range(chance.choice([1, 4, 30])):
        data[chance.randrange(len(data))] = chance.randrange(256)


def _scribble(data: bytearray, chance: random.Random) -> None:
    """Write noise over a block."""
    start, length = _block(data, chance)
    data[start : start + length] = chance.randbytes(length)


def _blank(data: bytearray, chance: random.Random) -> None:
    """Write zeros over a block, as a disk that lost a sector does."""
    start, length = _block(data, chance)
    data[start : start + length] = bytes(length)


def _leave_out(data: bytearray, chance: random.Random) -> None:
    start, length = _block(data, chance)
    del data[start : start + length]


def _repeat(data: bytearray, chance: random.Random) -> None:
    start, length = _block(data, chance)
    data[start:start] = data[start : start + length]


def _cut(data: bytearray, chance: random.Random) -> None:
    """Break off, as an upload does."""
    del data[chance.randrange(len(data) // 10, len(data)) :]


def _block(data: bytearray, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(data))
    return start, min(chance.choice([16, 500, 8_000, len(data) // 3]), len(data) - start)


#: What stands before the numbers of a header: counts, lengths, durations, clocks, widths, channels.
_BEFORE_NUMBERS = (
    *(b"mvhd", b"tkhd", b"mdhd", b"elst", b"stsd", b"stts", b"ctts", b"stsc", b"stsz", b"stco", b"avc1", b"mp4a"),
    *(b"moov", b"trak", b"mdat", b"esds"),  # MP4
    # Matroska: info, clock, duration, tracks, video, width, height, audio, rate, channels, cluster, block
    *(b"\x15\x49\xa9\x66", b"\x2a\xd7\xb1", b"\x44\x89", b"\x16\x54\xae\x6b", b"\xe0", b"\xb0", b"\xba", b"\xe1"),
    *(b"\xb5", b"\x9f", b"\x1f\x43\xb6\x75", b"\xa3"),
    *(b"avih", b"strh", b"strf", b"fmt ", b"data", b"LIST", b"idx1"),  # RIFF
    *(b"OggS", b"OpusHead", b"fLaC", b"ID3", b"Xing", b"Info", b"FLV", b"onMetaData", b"duration", b"\x47\x40"),
    *(b"\xa1\xdc\xab\x8c", b"\x91\x07\xdc\xb7", b"\x30\x26\xb2\x75"),  # ASF: file, stream, header
    *(b"IHDR", b"IDAT", b"GIF89a", b"\x2c\x00", b"VP8 ", b"VP8L", b"VP8X", b"\xff\xc0", b"\xff\xda"),  # pictures
)

_LARGE = (0xFF, 0x7FFF, 0xFFFF, 0x01000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0)


def _blow_up(data: bytearray, chance: random.Random) -> None:
    """Write a large number, or nothing, where a header has one of its own."""
    places = [at + len(name) for name in _BEFORE_NUMBERS if (at := data.find(name)) >= 0]
    for _ in range(chance.choice([1, 1, 3])):
        width, order = chance.choice([1, 2, 4, 8]), chance.choice(["big", "little"])
        number = chance.choice(_LARGE).to_bytes(8, "big")[-width:] if width < 8 else b"\x7f" + b"\xff" * 7
        start = min(chance.choice(places) + chance.randrange(0, 40, 1), len(data) - width)
        data[start : start + width] = number if order == "big" else number[::-1]


def _seal(png: bytearray) -> None:
    """Make the checksums of a PNG right, without which nothing looks at what it says."""
    at = 8
    while at + 12 <= len(png):
        end = at + 8 + struct.unpack_from(">I", png, at)[0]
        if end + 4 > len(png):
            return
        struct.pack_into(">I", png, end, zlib.crc32(png[at + 4 : end]))
        at = end + 4


MUTATIONS: tuple[Mutation, ...] = (_flip, _scribble, _blank, _leave_out, _repeat, _cut)

#: Those that mean it, half of the time: a header that asks for much.
HOSTILE: tuple[Mutation, ...] = (*MUTATIONS, *[_blow_up] * len(MUTATIONS))


def mutated(data: bytes, seed: int, mutations: Sequence[Mutation] = MUTATIONS) -> bytes:
    """Return a recording with the damage of a seed; each kind of damage has its turn."""
    chance, damaged = random.Random(seed), bytearray(data)
    mutations[seed % len(mutations)](damaged, chance)
    if damaged.startswith(b"\x89PNG"):
        _seal(damaged)
    return bytes(damaged)
