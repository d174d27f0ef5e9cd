"""What lies in a folder and nowhere else, whatever somebody swaps for a link meanwhile.

A path is walked folder by folder, each opened in the one before, and links are not followed: what openat2(2) does with
RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, on any kernel, and making the folders that are missing. Whoever holds the
descriptor has the folder that was checked, wherever its path leads by then.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from core.errors import UnsafePath

_SEARCH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def opened(path: Path, roots: Iterable[Path]) -> int:
    """Return a descriptor (O_PATH) of what a path leads to now, through no link that was put there since.

    :param roots: one of them must hold it; none: it may lie anywhere.

    Raises:
        UnsafePath: it lies elsewhere, or changes while it is looked at.
        FileNotFoundError, OSError: it isn't there, or can't be reached.
    """
    real = path.resolve(strict=True)
    root = _root_of(path, real, roots)
    if real == root:
        return os.open(root, os.O_PATH | os.O_CLOEXEC)
    place = _walked(root, real.parent.relative_to(root).parts, path)
    try:
        found = os.open(real.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
    finally:
        os.close(place)
    if stat.S_ISLNK(os.fstat(found).st_mode):
        os.close(found)
        raise _swapped(path)
    return found


@contextmanager
def folder(path: Path, roots: Iterable[Path] = (), *, make: bool = False) -> Iterator[int]:
    """Hold the folder that a path leads to now, for the functions of `os` that take `dir_fd`.

    :param roots: one of them must hold it; none: it may lie anywhere.
    :param make: it, and those above it, where they are missing.

    Raises:
        UnsafePath: it lies elsewhere, or changes while it is opened.
        FileNotFoundError, NotADirectoryError, OSError
    """
    real = path.resolve()
    root = _root_of(path, real, roots)
    held = _walked(root, real.relative_to(root).parts, path, make=make, last=_READ)
    try:
        yield held
    finally:
        os.close(held)


@contextmanager
def parent(held: int, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """Hold the folder, in one that is held, in which a name of several parts lies; with the last of them.

    Raises:
        UnsafePath: a link, or "..", leads elsewhere.
        FileNotFoundError, NotADirectoryError, OSError
    """
    *folders, last = Path(name).parts
    place = _walked(held, folders, Path(name), make=make)
    try:
        yield place, last
    finally:
        os.close(place)


@contextmanager
def file(name: str, held: int) -> Iterator[int]:
    """Hold a file that lies in a folder that is held, to read; no link, and no pipe is waited for.

    Raises:
        UnsafePath: it is a link now.
        FileNotFoundError, OSError
    """
    try:
        found = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=held)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _swapped(Path(name)) from error
        raise
    try:
        yield found
    finally:
        os.close(found)


@contextmanager
def new_file(name: str, held: int) -> Iterator[BinaryIO]:
    """Make a file in a folder that is held, on stable storage when the block ends.

    Raises:
        FileExistsError, OSError
    """
    made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=held)
    with os.fdopen(made, "wb") as writer:
        yield writer
        writer.flush()
        os.fsync(writer.fileno())


def link_or_copy(source: Path, place: int, name: str) -> None:
    """Give `source` a second name in a folder that is held, or copy it where the file system can't link."""
    try:
        os.link(source, name, dst_dir_fd=place, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            raise
        with source.open("rb") as reader, new_file(name, place) as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
        found = source.stat()
        with file(name, place) as held:  # as a link has it: the ledger knows a file by it
            os.utime(held, ns=(found.st_atime_ns, found.st_mtime_ns))


def remove(name: str, held: int) -> None:
    """Remove a folder of ours in one that is held, with all that is in it; it may be half gone already."""
    with suppress(RecursionError):
        shutil.rmtree(name, ignore_errors=True, dir_fd=held)
    with suppress(OSError):  # it is gone, or what is left can't be removed
        _remove_deep(name, held)


def _remove_deep(name: str, held: int) -> None:
    """Remove a folder however deep it is, and whatever rights it has: each of its folders is lifted to its top."""
    top = _opened_up(name, held)
    try:
        while names := os.listdir(top):  # noqa: PTH208  # a descriptor
            for one in names:
                if not _is_folder(one, top):
                    os.unlink(one, dir_fd=top)
                    continue
                inner = _opened_up(one, top)
                try:
                    for each in os.listdir(inner):  # noqa: PTH208
                        if _is_folder(each, inner):
                            os.rename(each, secrets.token_hex(8), src_dir_fd=inner, dst_dir_fd=top)
                        else:
                            os.unlink(each, dir_fd=inner)
                finally:
                    os.close(inner)
                os.rmdir(one, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=held)


def _opened_up(name: str, held: int) -> int:
    """Open a folder that is to be removed, whose rights may refuse that."""
    place = os.open(name, _SEARCH, dir_fd=held)
    try:
        Path(f"/proc/self/fd/{place}").chmod(stat.S_IRWXU)
        return os.open(".", _READ, dir_fd=place)
    finally:
        os.close(place)


def _is_folder(name: str, held: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=held, follow_symlinks=False).st_mode)


def check_places(folder: Path, names: Iterable[str], roots: Iterable[Path]) -> None:
    """Refuse to write where a link, made since the folder was named, leads out of the roots or of the folder itself.

    :param names: of files in it.
    :param roots: one of them must hold the folder; none: it may lie anywhere.

    Raises:
        UnsafePath
    """
    real = folder.resolve()
    _root_of(folder, real, roots)
    for name in names:
        if not (place := (folder / name).parent.resolve()).is_relative_to(real):
            raise UnsafePath(
                f"{folder / name}: leads out of its folder, to {place}",
                remedy="remove the link",
                path=str(folder / name),
            )


def _root_of(path: Path, real: Path, roots: Iterable[Path]) -> Path:
    """Return the root that holds what a path really leads to; without roots, the file system's."""
    places = [root.resolve() for root in roots] or [Path("/")]
    for place in places:
        if real.is_relative_to(place):
            return place
    raise UnsafePath(
        f"{path}: leads out of the media roots, to {real}",
        remedy="name a place below one of them, or add its folder to AMPHIPOD_MEDIA_ROOTS",
        path=str(path),
    )


def _walked(start: Path | int, names: Sequence[str], path: Path, *, make: bool = False, last: int = _SEARCH) -> int:
    """Return a descriptor of the folder that `names` lead to, from a root, or from a folder that is held.

    :param last: flags by which the last one is opened.
    """
    flags = _SEARCH if names else last
    held = os.open(".", flags, dir_fd=start) if isinstance(start, int) else os.open(start, flags)
    for number, name in enumerate(names, 1):
        try:
            if name in ("..", "/"):
                raise _swapped(path)
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=held)
            inner = os.open(name, last if number == len(names) else _SEARCH, dir_fd=held)
        except (FileNotFoundError, NotADirectoryError) as error:
            if _is_link(name, held):
                raise _swapped(path) from error
            raise
        finally:
            os.close(held)
        held = inner
    return held


def _is_link(name: str, held: int) -> bool:
    with suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=held, follow_symlinks=False).st_mode)
    return False


def _swapped(path: Path) -> UnsafePath:
    return UnsafePath(
        f"{path}: leads through a link that was put there meanwhile",
        remedy="whoever may write there has to stop; then try again",
        path=str(path),
    )
