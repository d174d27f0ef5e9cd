"""A file that was made, and what it is for."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat

from core.model.base import Model

#: What a file is for, in the order in which files are published, so that a reader who meets a new name finds what it
#: names already there: media and texts, playlists, pictures before their index, the masters when all that they offer is
#: in place, and last the info, which Esup-Pod takes for the sign that all is complete. "other" is for what a
#: plugin makes of no other kind.
Kind = Literal[
    "film",  # a composed source
    "part",  # of a divided step; never published
    "segment",
    "rendition",
    "audio",
    "transcript",
    "review",  # a page on which a person hears again what is doubtful, and corrects it
    "other",
    "audio_playlist",
    "playlist",
    "thumbnail",
    "sprite",
    "sprite_index",
    "subtitle",
    "caption",
    "chapters",
    "master",
    "info",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


def _known_kind(value: object) -> object:
    if value not in KINDS:
        raise ValueError(f"{value!r} is no kind of file; there are {', '.join(KINDS)}")
    return value


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

#: Characters of an artifact's path.
_LONGEST = 1000


def _beneath(value: str) -> str:
    """Refuse a path that leads out of the folder of its step, or whose letters a page or a terminal would obey."""
    if value.startswith("/") or ".." in value.split("/") or str(PurePosixPath(value)) != value or value == ".":
        raise ValueError(f"{value!r} is no path of a file in its step's folder")
    if _CONTROL.search(value) or len(value) > _LONGEST:
        raise ValueError(f"{value[:100]!r} is no name of a file: control characters, or more than {_LONGEST} letters")
    return value


class Artifact(Model):
    """One published file.

    An engine names what it knows; `size` and `sha256` are filled in when the step commits.
    """

    #: What it is for. The next step finds what it needs by this word.
    kind: Annotated[Kind, BeforeValidator(_known_kind)]
    path: Annotated[str, AfterValidator(_beneath)]
    media_type: Annotated[str, Field(pattern=r"^[\x20-\x7e]{1,200}$")]
    size: int | None = None
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    duration: FiniteFloat | None = None
    bit_rate: int | None = None
    frames: int | None = None
    language: str | None = None
    codecs: str | None = None
