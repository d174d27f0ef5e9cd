"""What the files are called that this plugin writes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core import Job

_SEGMENTS = ("m3u8", "ts", "m4s")

#: Patterns of all names that an encode may give; a name has few digits, so that a person's own files rarely fit.
ENCODED: tuple[str, ...] = (
    *(
        f"{'[0-9]' * digits}p{codec}.{suffix}"
        for digits in range(1, 6)
        for codec in ("", "_av1")
        for suffix in ("mp4", *_SEGMENTS)
    ),
    "audio_192k.mp3",
    "audio_192k.m4a",
    *(f"audio_*.{suffix}" for suffix in _SEGMENTS),
    "livestream.m3u8",
    "manifest.mpd",
    "thumbnail_[0-9][0-9][0-9][0-9].*",
    "overview.*",
    "subtitle_*.vtt",
    "chapters.vtt",
    "info_video.json",
)


def film_name(job: Job) -> str:
    """Return the name of a composed film: the job's, without what can't stand in a file's."""
    stem = re.sub(r"[^\w.-]+", "_", str(job.attributes.get("name") or "film").removesuffix(".mp4"))
    return f"{stem.strip('._') or 'film'}.mp4"
