"""What a source may ask of a machine at most: a small file must not fill a large one."""

from __future__ import annotations

from pathlib import Path

from core import BadSource

#: Seconds of silence, in all, that are put in where a file's clock has holes: a recorder paused over lunch, and more.
MOST_SILENCE = 4 * 3600

#: Pixels of a picture, and its longer side as a multiple of the shorter.
MOST_PIXELS = 50_000_000
MOST_STRETCHED = 50


def check_silence(seconds: float, path: Path) -> None:
    """Raise BadSource where a clock's holes come to more than any recording's."""
    if seconds > MOST_SILENCE:
        raise BadSource(
            f"{path} has holes of {seconds / 3600:.0f} hours and more: its clock leaps",
            remedy="write it anew with a clock that goes on: ffmpeg -i FILE -c copy -fflags +genpts NEW.mp4",
            path=str(path),
        )


def check_picture(width: int, height: int) -> None:
    """Raise ValueError for a picture that would fill the memory, before it is decoded."""
    if width * height > MOST_PIXELS:
        raise ValueError(f"it has {width * height / 1e6:.0f} million pixels, {MOST_PIXELS // 1_000_000} are taken")
    if max(width, height) > MOST_STRETCHED * min(width, height):
        raise ValueError(f"it is {width} pixels wide and {height} high")
