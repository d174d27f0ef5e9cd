"""The one door to strangers' files: it opens the file that is meant, if it is of a kind that is taken, and no other."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeGuard

import av

from core import BadSource
from plugins.media.allowed import FORMATS, decoders, is_never
from plugins.media.boxes import lacks_index
from plugins.media.limits import check_container, check_size, too_many_tracks
from plugins.media.settings import DEFAULTS, MediaSettings
from plugins.media.tracks import is_cover, usable

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

#: What stands before a path for libav to see no more of the file than there is now: else it may never come to an end of
#: one that is still written to.
_BEFORE_PATH = ",,:"

#: What libav may open: this one file. Others, that a QuickTime track may name, stay closed.
_PROTOCOLS = {"protocol_whitelist": "subfile,file", "enable_drefs": "0", "use_absolute_path": "0"}

#: What the system says of a file that it can't read; whatever else libav says is the file's own fault.
_UNREADABLE = {errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOENT, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT}

REMEDY = "upload a recording that a media player can play"


def open_source(path: Path, settings: MediaSettings = DEFAULTS) -> InputContainer:
    """Open what somebody uploaded or named, for reading; nothing else is opened, whatever it says.

    Which of its tracks may be decoded, `tracks.usable` says.

    :raises BadSource: it is no media file of a kind that is taken, asks for too much, or can't be read.
    """
    size = check_file(path)
    check_size(size, path, settings)
    try:
        container = _open(path, size, settings, decoders(settings.codecs))
    except (av.error.FFmpegError, ValueError, MemoryError) as error:
        raise _refused(error, path, size, settings) from error
    try:
        check_container(container, path, settings)
        if any(_is_sizeless(stream) for stream in container.streams.video):
            _check_stated_sizes(path, size, settings)
    except BadSource:
        container.close()
        raise
    for stream in container.streams:
        if stream.type == "video" and stream.codec_context:
            stream.codec_context.options = _most_pixels(settings)
    return container


def _open(path: Path, size: int, settings: MediaSettings, decoders: str) -> InputContainer:
    # A protocol before an absolute path: libav would take the beginning of a relative one for one ("12:30.mp4").
    return av.open(
        f"subfile,,start,0,end,{size}{_BEFORE_PATH}{path.absolute()}",
        "r",
        options=_most_pixels(settings),
        container_options={
            **_PROTOCOLS,
            "format_whitelist": ",".join((*FORMATS, *settings.formats)),
            "codec_whitelist": decoders,
            "max_streams": str(settings.track_limit + 1),
        },
        metadata_errors="replace",
    )


def _most_pixels(settings: MediaSettings) -> dict[str, str]:
    """Tell decoders what to refuse, also where pictures become larger in mid-film."""
    return {"max_pixels": str(settings.pixel_limit)}


def _is_sizeless(stream: VideoStream) -> bool:
    return bool(stream.codec_context) and not stream.codec_context.width and not is_cover(stream)


def _check_stated_sizes(path: Path, size: int, settings: MediaSettings) -> None:
    """Raise BadSource if all pictures are too large: libav forgets a size that it refuses unless it decodes nothing."""
    with _open(path, size, settings, "none") as container:
        usable(container.streams.video, path, settings)


def path_of(container: InputContainer) -> Path:
    """Return which file a container was opened from."""
    return Path(container.name.partition(_BEFORE_PATH)[2])


def _refused(error: Exception, path: Path, size: int, settings: MediaSettings) -> BadSource:
    """Say why libav didn't open a file."""
    if refuses(error, path):
        return unreadable(path, error)
    complaints = _complaints(path, size, settings)
    if any("max_streams" in words for _, words in complaints):
        return too_many_tracks(path, settings)
    if lacks_index(path):
        problem = f"{path} was cut off: its index (moov), written last, is missing"
        return BadSource(problem, remedy="upload it again, whole", path=str(path))
    problem, remedy = f"{path} is not an audio or video file", REMEDY
    kind = next((who.split(",")[0] for who, words in complaints if "Format not on whitelist" in words), None)
    if kind:
        problem += f" of a kind that is taken, it looks like {kind}"
        if not is_never(kind):
            remedy += f", or add {kind} to `formats` of [plugin.media]"
    return BadSource(problem, remedy=remedy, path=str(path))


def _complaints(path: Path, size: int, settings: MediaSettings) -> list[tuple[str, str]]:
    """Return who in libav says what of a file that it doesn't open: it tells only whoever listens to its log."""
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # of the file before
    try:
        with av.logging.Capture() as said, suppress(av.error.FFmpegError, ValueError, MemoryError):
            _open(path, size, settings, "none").close()
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)
    return [(speaker, words) for _, speaker, words in said]


def check_file(path: Path) -> int:
    """Return the bytes of a file; raise BadSource unless it is one with something in it that may be read.

    A pipe is not waited for.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            info = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise BadSource(f"{path} does not exist", remedy="check its name", path=str(path)) from None
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise _no_file(path) from error
        raise unreadable(path, error) from error
    if stat.S_ISDIR(info.st_mode):
        raise BadSource(f"{path} is a folder", remedy="name the file in it", path=str(path))
    if not stat.S_ISREG(info.st_mode):
        raise _no_file(path)
    if not info.st_size:
        raise BadSource(f"{path} is empty", remedy="upload it again", path=str(path))
    return info.st_size


@contextmanager
def open_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that isn't libav's to read, as `check_file` would have it."""
    check_file(path)
    # A pipe may have taken its place since.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        yield file


def _no_file(path: Path) -> BadSource:
    return BadSource(f"{path} is a device, a pipe or a socket", remedy="name a file", path=str(path))


def grown(path: Path, size: int) -> list[str]:
    """Say that a file was written to since it had so many bytes: what came later may not be in what is made of it."""
    try:
        now = path.stat().st_size
    except OSError:
        return []
    if now == size:
        return []
    return [f"{path.name} was still being written: it had {size} bytes at first and {now} in the end; submit it anew"]


def unreadable(path: Path, error: OSError) -> BadSource:
    problem = f"{path} can't be read ({error.strerror})"
    return BadSource(problem, remedy="check its permissions and where it is mounted", path=str(path))


def refuses(error: Exception, path: Path) -> TypeGuard[OSError]:
    """Tell what the system says of a file from the like-named errors of a demuxer that is given nonsense."""
    if not (isinstance(error, OSError) and error.errno in _UNREADABLE):
        return False
    try:
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass
    except OSError:
        return True
    return False
