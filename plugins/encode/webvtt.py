"""Times as WebVTT writes them."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """Write a time as hours, minutes, seconds and milliseconds."""
    total = round(seconds * 1000)
    return f"{total // 3_600_000:02}:{total // 60_000 % 60:02}:{total // 1000 % 60:02}.{total % 1000:03}"
