"""Files of the shared file system: safe paths, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from core.errors import NoSpace, NotWritable, UnsafePath

#: Modes of what is ours alone, less the umask: 0640 and 0750 as a rule. Others than its user and group have no business
#: in a job, whose request names people, nor in statements and uploads. Films are as the umask says: a web server reads
#: them, and where they are published by a link they are the same file.
PRIVATE, _PRIVATE_FOLDER = 0o660, 0o770

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full or refusing file system below `path` into NoSpace or NotWritable."""
    try:
        yield
    except (NoSpace, NotWritable):
        raise
    except OSError as error:
        if is_full(error):
            raise no_space(path) from error
        if error.errno in _REFUSED:
            words = (error.strerror or str(error)).lower()
            raise NotWritable(
                f"{path}: cannot be written ({words})",
                remedy="give this user write access or choose another folder",
                path=str(path),
            ) from error
        raise


def is_full(error: BaseException) -> bool:
    """Tell an error that a full file system, or a user's quota, has caused."""
    return isinstance(error, OSError) and error.errno in _FULL


def no_space(path: Path) -> NoSpace:
    """Say that the file system below `path` is full."""
    return NoSpace(f"{path}: no space left", remedy="free some space or choose another folder", path=str(path))


def resolve(path: Path, roots: Sequence[Path]) -> Path:
    """Return the real, absolute path of `path`, which must lie under one of `roots`.

    A relative path is looked for under each root in turn. Links are followed before the check. Without roots any
    path will do, relative to the current folder.

    Raises:
        UnsafePath: the path has a `..`, leads out of the roots, or can't be a path at all.
    """
    try:
        return _resolve(path, roots)
    except UnsafePath:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # up to Python 3.12 a loop of links is a RuntimeError
        if isinstance(error, OSError) and error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
            raise
        words = (error.strerror if isinstance(error, OSError) else str(error)) or ""
        raise UnsafePath(f"{path}: can't be a path ({words.lower()})", path=str(path)) from error


def _resolve(path: Path, roots: Sequence[Path]) -> Path:
    if ".." in path.parts:
        raise UnsafePath(f"{path}: a path may not climb with '..'", path=str(path))
    if not roots:
        return path.resolve()
    candidates = [path.resolve()] if path.is_absolute() else [(root / path).resolve() for root in roots]
    inside = [one for one in candidates if any(one.is_relative_to(root.resolve()) for root in roots)]
    if not inside:
        raise UnsafePath(
            f"{path}: lies outside the media roots",
            remedy=f"move it under {os.pathsep.join(map(str, roots))} or extend AMPHIPOD_MEDIA_ROOTS",
            path=str(path),
        )
    return next((one for one in inside if one.exists()), inside[0])


def clock(folder: Path) -> float:
    """Return the seconds since 1970 as the file system tells them, which for a shared one is its server's time."""
    with disk_errors(folder), tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b"\0")
        probe.flush()
        return os.fstat(probe.fileno()).st_mtime


def make_folder(path: Path, *, parents: bool = True) -> None:
    """Make a private folder, and those above it; one that is there stays as it is.

    Raises:
        FileNotFoundError: without `parents`, the one above it is gone.
    """
    try:
        path.mkdir(_PRIVATE_FOLDER)
    except FileExistsError:
        if not path.is_dir():
            raise
    except FileNotFoundError:
        if not parents or path.parent == path:
            raise
        make_folder(path.parent)
        make_folder(path)
    else:
        share(path)


def share(path: Path) -> None:
    """Give something private the group of its folder: a portal and workers of different users have one in common."""
    with contextlib.suppress(
        OSError
    ):  # gone already; a group that this user is not in, or that a namespace doesn't map
        wanted = path.parent.stat().st_gid
        if path.stat().st_gid != wanted:
            os.chown(path, -1, wanted)


def write_once(path: Path, text: str, *, mode: int = PRIVATE) -> None:
    """Create `path` with `text`, whole and durable, unless it exists.

    `link` and not `rename`, because rename replaces. On NFS a link can succeed and still report EEXIST when its
    answer was lost: then the file has two names, ours and the one asked for (design, section 4).

    Raises:
        FileExistsError: somebody was first; the file is theirs.
    """
    temporary = _write_temporary(path, text, mode)
    try:
        try:
            os.link(temporary, path)
        except FileExistsError:
            if temporary.stat().st_nlink != 2:
                raise
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_replacing(path: Path, text: str, *, mode: int = PRIVATE) -> None:
    """Create or replace `path` with `text`, whole and durable; `mode`, less the umask, is never wider for a moment."""
    temporary = _write_temporary(path, text, mode)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _write_temporary(path: Path, text: str, mode: int = PRIVATE) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with open(temporary, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if mode == PRIVATE:
            share(temporary)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@cache
def host_name() -> str:
    return socket.gethostname()


def process_identity(pid: int) -> str | None:
    """Return what tells this process from a later one of the same number, None if there is none that we may see.

    Boot id and start time in ticks: proc(5), /proc/[pid]/stat, field 22.
    """
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return f"{boot}:{told.rpartition(')')[2].split()[19]}"


def is_alive(pid: int) -> bool:
    """Tell whether a process of this number is there, also where /proc hides it (ProtectProc=invisible, hidepid)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def remove(path: Path) -> None:
    """Remove a folder of ours and all that is in it; it may be half gone already."""
    shutil.rmtree(path, ignore_errors=True)
