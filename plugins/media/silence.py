"""Whether the holes of a track's clock come to more silence than a recording has, told before any of it is made."""

from __future__ import annotations

from fractions import Fraction
from math import inf
from pathlib import Path

from core import BadSource
from plugins.media.limits import NEW_CLOCK
from plugins.media.opener import open_source
from plugins.media.settings import MediaSettings
from plugins.media.source_file import packets

#: Seconds of a hole that is worth reading the rest of the file for: what makes silence of it costs more.
LONG = 600


def check_silence(seconds: float, path: Path, settings: MediaSettings) -> None:
    """Raise BadSource where a clock's holes come to more than any recording's."""
    if seconds > settings.silence_limit:
        raise BadSource(
            f"{path} has holes of {seconds / 3600:.0f} hours and more: its clock leaps",
            remedy=NEW_CLOCK,
            path=str(path),
        )


def check_holes(
    path: Path, track: int, settings: MediaSettings, start: float | Fraction = -inf, end: float | Fraction = inf
) -> None:
    """Read a track's packets, undecoded, and refuse the file if all the holes between them come to too much.

    :param track: its index in the file.
    :param start: second of the file's clock from which on they count.
    :param end: second until which they count.
    :raises BadSource: they come to more than `silence_limit`.
    """
    filled, reached = 0.0, None
    with open_source(path, settings) as container:
        for packet in packets(container, [container.streams[track]]):
            if packet.pts is None:
                continue
            begin = packet.pts * packet.time_base
            if reached is not None and begin > reached:
                filled += max(float(min(begin, end) - max(reached, start)), 0.0)
                check_silence(filled, path, settings)
            until = begin + (packet.duration or 0) * packet.time_base
            reached = until if reached is None else max(reached, until)
