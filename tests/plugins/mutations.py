"""Damage done to recordings, by a seed: what bad memory cards, broken uploads and careless tools do to them."""

from __future__ import annotations

import random
from collections.abc import Callable

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


MUTATIONS: tuple[Mutation, ...] = (_flip, _scribble, _blank, _leave_out, _repeat, _cut)


def mutated(data: bytes, seed: int) -> bytes:
    """Return a recording with the damage of a seed; each kind of damage has its turn."""
    chance, damaged = random.Random(seed), bytearray(data)
    MUTATIONS[seed % len(MUTATIONS)](damaged, chance)
    return bytes(damaged)
