"""A film's chapters: in its MP4s, and as WebVTT for players that read no MP4's."""

from __future__ import annotations

import html
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.encode.webvtt import clock

if TYPE_CHECKING:
    from av.container import OutputContainer

    from plugins.encode.source.texts import Chapter

#: Ticks a second.
_CLOCK = 1000


def write_chapters(chapters: Sequence[Chapter], path: Path) -> None:
    cues = (f"{clock(float(c.start))} --> {clock(float(c.end))}\n{_one_line(c.title)}\n" for c in chapters)
    path.write_text("WEBVTT\n\n" + "\n".join(cues))


def set_chapters(container: OutputContainer, chapters: Sequence[Chapter]) -> None:
    """Put chapters into a file whose header is not yet written."""

    def tick(time: Fraction) -> int:
        return round(time * _CLOCK)

    container.set_chapters(
        [
            {
                "id": number,
                "start": tick(chapter.start),
                "end": tick(chapter.end),
                "time_base": Fraction(1, _CLOCK),
                "metadata": {"title": chapter.title},
            }
            for number, chapter in enumerate(chapters)
        ]
    )


def _one_line(title: str) -> str:
    """Return a chapter's title as WebVTT (section 4.6): one line, without what would be markup."""
    return html.escape(" ".join(title.split()), quote=False)
