"""How often captions break the rules that readers need, whoever has made them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

#: Lines, characters a line, characters a second, seconds of the shortest; plugins/transcript/options.py has sources.
LINES, LENGTH, SPEED, SHORTEST = 2, 40, 20.0, 1.0

_ROUNDED = 0.002


def violations(cues: Sequence[Sequence[Any]], seconds: float) -> int:
    """Count rules broken by cues of start, end, line, line ...: size, speed, shortness, overlap, end of the film."""
    broken: int = 0
    for start, end, *lines in cues:
        broken += len(lines) > LINES or any(len(line) > LENGTH for line in lines)
        broken += sum(map(len, lines)) > SPEED * (end - start + _ROUNDED)
        broken += end - start < SHORTEST - _ROUNDED
        broken += end > seconds + _ROUNDED
    broken += sum(other[0] < one[1] for one, other in pairwise(cues))
    return broken
