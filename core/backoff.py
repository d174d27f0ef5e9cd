"""How long to wait before the next try, in one place: doubled each time, with jitter, never past a cap."""

from __future__ import annotations

import random
from email.utils import parsedate_to_datetime

#: Doublings after which a pause grows no more: enough to reach any cap, and far from what a float can't hold.
_MOST_DOUBLINGS = 60

#: Jitter: a pause is between this part of what was computed and all of it, so that hosts don't ask in step.
_JITTER = 0.5


def pause(failures: int, *, first: float, longest: float, asked: float | None = None) -> float:
    """Return the seconds to wait after so many failures in a row.

    After the first `first` seconds, each time twice as long. `asked` is what the other side wants (`Retry-After`); it
    is granted as far as `longest`, which nothing exceeds.
    """
    doubled = min(first * 2.0 ** min(max(failures - 1, 0), _MOST_DOUBLINGS), longest)
    wanted = doubled * random.uniform(_JITTER, 1.0)  # noqa: S311  # nosec B311  # no secret
    return min(max(wanted, asked or 0.0), longest)


def retry_after(header: str | None, date: str | None = None) -> float | None:
    """Read a `Retry-After`: seconds, or a moment, which is measured from the `Date` of the same answer (RFC 9110).

    None for whatever else it may say. The host's own clock is not asked: it may disagree with the answer's.
    """
    words = (header or "").strip()
    if words.isascii() and words.isdigit():
        return float(words[:18])
    try:
        return max((parsedate_to_datetime(words) - parsedate_to_datetime(date or "")).total_seconds(), 0.0)
    except (TypeError, ValueError, OverflowError):
        return None
