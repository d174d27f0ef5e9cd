"""Whether a file that was written is whole, and what a full disk makes of one."""

from __future__ import annotations

import errno
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import av

from core.errors import NoSpace, Transient
from plugins.encode.output.hls import read_segments
from plugins.media.boxes import boxes

if TYPE_CHECKING:
    from av.container import OutputContainer


def discard(container: OutputContainer) -> None:
    """Close a file that nobody will read; its trailer may fail, which no longer matters."""
    with suppress(av.error.FFmpegError, OSError):
        container.close()


def check_playlist(playlist: Path, segments: Path) -> None:
    """Raise NoSpace unless the playlist is ended and all its segments are in the file.

    libav says nothing of a write that fails when it closes a file, so what was written is looked at. The same holds
    for the other checks here.
    """
    text = playlist.read_text() if playlist.exists() else ""
    listed = read_segments(text)
    last = listed[-1] if listed else None
    size = segments.stat().st_size if segments.exists() else 0
    if not last or not text.rstrip().endswith("#EXT-X-ENDLIST") or last.offset + last.size != size:
        raise _incomplete(playlist)


def check_mp4(path: Path) -> None:
    """Raise NoSpace unless the file's boxes (ISO/IEC 14496-12, 4.2) end where it ends."""
    with path.open("rb") as file:
        ends = dict(boxes(file))
    if not {b"moov", b"mdat"} <= ends.keys() or max(ends.values()) != path.stat().st_size:
        raise _incomplete(path)


def check_size(path: Path, at_least: int) -> None:
    """Raise NoSpace if a file is shorter than what was put into it."""
    if path.stat().st_size < at_least:
        raise _incomplete(path)


def is_full(error: BaseException) -> bool:
    """Tell whether an error of the system or of libav says that the disk or the quota is full."""
    return getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}


def no_space(folder: Path) -> NoSpace:
    free = shutil.disk_usage(folder).free
    return NoSpace(
        f"no space left in {folder} ({free // 1_000_000} MB free)",
        remedy="free some space there, or choose another folder",
        path=str(folder),
    )


def _incomplete(path: Path) -> Transient:
    if shutil.disk_usage(path.parent).free < 1_000_000:
        return no_space(path.parent)
    return Transient(f"{path} was not written to its end", remedy="check the disk and try again", path=str(path))
