"""The tracks of a kind that may be decoded, and what is said of the others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from av.stream import Disposition

from core import BadSource
from plugins.media.limits import objection
from plugins.media.settings import MediaSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from av.stream import Stream

S = TypeVar("S", bound="Stream")


def is_cover(stream: Stream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def usable(streams: Iterable[S], path: Path, settings: MediaSettings) -> tuple[list[S], list[str]]:
    """Return those of one kind that may be decoded, and notes of those that are left out. Covers are no tracks.

    :raises BadSource: there are some, and none may be: a film without its pictures would be no film.
    """
    tracks = [stream for stream in streams if stream.codec_context and not is_cover(stream)]
    objections = [(stream, wrong) for stream in tracks if (wrong := objection(stream, settings))]
    if objections and len(objections) == len(tracks):
        stream, wrong = objections[0]
        raise BadSource(f"{path}: {_name(stream)} {wrong.words}", remedy=wrong.remedy, path=str(path))
    left_out = {stream.index for stream, _ in objections}
    notes = [f"{_name(stream)} {wrong.words}, and was left out" for stream, wrong in objections]
    return [stream for stream in tracks if stream.index not in left_out], notes


def _name(stream: Stream) -> str:
    return f"{stream.type} track {stream.index}"
