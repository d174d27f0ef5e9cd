"""What lies in a folder and nowhere else, whatever somebody swaps for a link meanwhile: openat2(2)."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable
from pathlib import Path

from core.errors import UnsafePath

_SYS_OPENAT2 = 437  # asm-generic/unistd.h; the same on every architecture
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x02, 0x04, 0x08  # linux/openat2.h


class _How(ctypes.Structure):
    """Of linux/openat2.h: struct open_how."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def opened(path: Path, roots: Iterable[Path]) -> int:
    """Return a descriptor (O_PATH) of what a path leads to now, through no link that was put there since.

    :param roots: one of them must hold it; none: it may lie anywhere.

    Raises:
        UnsafePath: it lies elsewhere, or changes while it is looked at.
        FileNotFoundError, OSError: it isn't there, or can't be reached.
    """
    real = path.resolve(strict=True)
    root = _root_of(path, real, roots)
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _open_beneath(folder, os.fspath(real.relative_to(root)))
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EXDEV, errno.EAGAIN):
            raise UnsafePath(
                f"{path}: was replaced by a link while it was opened",
                remedy="whoever may write there has to stop; then try again",
                path=str(path),
            ) from error
        raise
    finally:
        os.close(folder)


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


def _open_beneath(folder: int, relative: str) -> int:
    flags = os.O_PATH | os.O_CLOEXEC
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
    how = _How(flags, 0, resolve)
    libc = ctypes.CDLL(None, use_errno=True)
    found = int(libc.syscall(_SYS_OPENAT2, folder, os.fsencode(relative), ctypes.byref(how), ctypes.sizeof(how)))
    if found >= 0:
        return found
    code = ctypes.get_errno()
    if code == errno.ENOSYS:  # a kernel before 5.6: the look at the path has to do
        return os.open(relative, flags, dir_fd=folder)
    raise OSError(code, os.strerror(code), relative)
