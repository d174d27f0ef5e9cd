"""The shared file system: safe paths, a job's folder, files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from core import mistakes
from core.errors import BadCall, NoSpace, NotWritable, UnknownJob, UnsafePath
from core.model import Job, check_id

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


@dataclass(frozen=True)
class JobFolder:
    """Where a job's files are; `root/jobs/<id>`."""

    root: Path
    id: str

    @property
    def path(self) -> Path:
        """The folder itself.

        Raises:
            UnknownJob: no job can have this id.
        """
        try:
            return self.root / "jobs" / check_id(self.id)
        except ValueError as error:
            raise UnknownJob(str(error), job=self.id) from error

    @property
    def request(self) -> Path:
        return self.path / "request.json"

    @property
    def steps(self) -> Path:
        return self.path / "steps"

    @property
    def scratch(self) -> Path:
        return self.path / "scratch"

    @property
    def out(self) -> Path:
        return self.path / "out"

    @property
    def cancelled(self) -> Path:
        return self.path / "cancelled.json"

    @property
    def publication(self) -> Path:
        return self.path / "publish.json"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def downloads(self) -> Path:
        return self.path / "downloads"

    @property
    def callbacks(self) -> Path:
        return self.path / "callbacks"

    @property
    def story(self) -> Path:
        return self.path / "story"

    @property
    def claim(self) -> Path:
        """Locked by the process that does this job without a queue."""
        return self.path / "claim.lock"

    @property
    def swept(self) -> Path:
        return self.path / "swept.json"

    @property
    def holds(self) -> Path:
        """A file for each other job that reads files of this one."""
        return self.path / "holds"

    def retry(self, number: int) -> Path:
        return self.path / f"retry.{number}.json"

    def plan(self, step: str) -> Path:
        return self.steps / f"plan.{step}.json"

    def division(self, step: str) -> Path:
        return self.steps / f"division.{step}.json"

    def result(self, step: str, run: int) -> Path:
        return self.steps / f"{step}.{run}.json"

    def run(self) -> int:
        """Number of the current run: 1, and one more for each retry."""
        try:
            return 1 + sum(name.startswith("retry.") for name in os.listdir(self.path))  # noqa: PTH208  # is asked often
        except FileNotFoundError:
            return 1

    def job(self) -> Job:
        """Read what was asked.

        Raises:
            UnknownJob: there is no such job here, or its request can't be read.
        """
        try:
            return Job.model_validate_json(self.request.read_bytes())
        except FileNotFoundError as error:
            raise UnknownJob(
                f"no job {self.id} under {self.root}",
                remedy="check the id and AMPHIPOD_JOBS_ROOT; one whose files went is forgotten in time",
                job=self.id,
            ) from error
        except ValueError as error:
            words = f"{self.request} is damaged, nobody can tell any more what job {self.id} asked for"
            raise UnknownJob(words, remedy="restore that file, or submit the job again", job=self.id) from error


def store(job: Job, root: Path) -> tuple[JobFolder, bool]:
    """Keep a job for ever. Returns its folder, and whether it is new.

    The folder's `mkdir` is not the commit, `request.json` is: a job whose maker died in between is completed by
    the next call with the same id.

    Raises:
        BadCall: no file can hold it (JSON nested too deep, half of a surrogate pair).
        NotWritable, NoSpace
    """
    try:
        text = job.to_json()
        Job.model_validate_json(text)  # it nests deeper than we can read, before it does than we can write
    except ValueError as error:
        words = mistakes.told(error) if isinstance(error, ValidationError) else error
        raise BadCall(f"job {job.id} can't be stored ({words})", job=job.id) from error
    folder = JobFolder(root, job.id)
    with disk_errors(root):
        for path in (folder.path, folder.steps, folder.scratch, folder.out):
            path.mkdir(parents=True, exist_ok=True)
        try:
            write_once(folder.request, text)
        except FileExistsError:
            return folder, False
    return folder, True


def discard(folder: JobFolder) -> None:
    """Remove a job that was stored but could not be sent; from one moment to the next nobody sees it any more."""
    gone = folder.path.with_name(f".{folder.id}.{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        folder.path.rename(gone)
    remove(gone)


def ids(root: Path) -> list[str]:
    """Return the ids of all jobs, in no order."""
    try:
        return [name for name in os.listdir(root / "jobs") if not name.startswith(".")]  # noqa: PTH208  # may be many
    except FileNotFoundError:
        return []


def names(root: Path) -> dict[str, int]:
    """Return the ids of all jobs, each with its folder's last change in nanoseconds, by the file system's clock."""
    found = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(root / "jobs") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if not entry.name.startswith("."):
                    found[entry.name] = entry.stat().st_mtime_ns
    return found


def clock(folder: Path) -> float:
    """Return the seconds since 1970 as the file system tells them, which for a shared one is its server's time."""
    with disk_errors(folder), tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b"\0")
        probe.flush()
        return os.fstat(probe.fileno()).st_mtime


def write_once(path: Path, text: str) -> None:
    """Create `path` with `text`, whole and durable, unless it exists.

    `link` and not `rename`, because rename replaces. On NFS a link can succeed and still report EEXIST when its
    answer was lost: then the file has two names, ours and the one asked for (design, section 4).

    Raises:
        FileExistsError: somebody was first; the file is theirs.
    """
    temporary = _write_temporary(path, text)
    try:
        try:
            os.link(temporary, path)
        except FileExistsError:
            if temporary.stat().st_nlink != 2:
                raise
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_replacing(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Create or replace `path` with `text`, whole and durable; `mode`, less the umask, is never wider for a moment."""
    temporary = _write_temporary(path, text, mode)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _write_temporary(path: Path, text: str, mode: int = 0o666) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with open(temporary, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
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


@dataclass(frozen=True)
class Scratch:
    """The folder of one attempt: `scratch/<step>.<attempt>`."""

    path: Path
    step: str
    attempt: int

    @property
    def work(self) -> Path:
        return self.path / "work"

    @property
    def output(self) -> Path:
        return self.path / "output"

    @property
    def failure(self) -> Path:
        """Why this attempt failed; the folder then stays, empty but for this, so that attempts can be counted."""
        return self.path / "failure.json"

    @property
    def owner(self) -> Path:
        """Which process made this attempt; touched while it lives."""
        return self.path / "owner.json"


def attempts(folder: JobFolder, step: str | None = None) -> list[Scratch]:
    """Return the attempts that were begun and neither committed nor handed back, oldest first.

    Of one step, or of all.
    """
    found = []
    for path in folder.scratch.glob(f"{step or '*'}.*"):
        name, _, number = path.name.rpartition(".")
        if number.isdigit() and step in (None, name):
            found.append(Scratch(path, name, int(number)))
    return sorted(found, key=lambda scratch: (scratch.step, scratch.attempt))


def begin_attempt(folder: JobFolder, step: str, *, after: int) -> Scratch:
    """Make the folder of a new attempt, numbered from `after` + 1 and after any that is there."""
    number = max([after, *(scratch.attempt for scratch in attempts(folder, step))])
    with disk_errors(folder.path):
        while True:
            number += 1
            scratch = Scratch(folder.scratch / f"{step}.{number}", step, number)
            with contextlib.suppress(FileExistsError):
                scratch.path.mkdir()
                break
        scratch.work.mkdir()
        scratch.output.mkdir()
        owner = {"host": host_name(), "pid": os.getpid(), "process": process_identity(os.getpid())}
        write_replacing(scratch.owner, json.dumps(owner) + "\n")
    return scratch


def process_identity(pid: int) -> str | None:
    """Return what tells this process from a later one of the same number, None if there is none.

    Boot id and start time in ticks: proc(5), /proc/[pid]/stat, field 22.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return f"{boot}:{stat.rpartition(')')[2].split()[19]}"


def is_abandoned(scratch: Scratch, older_than: float) -> bool:
    """Tell whether nobody works in this folder any more.

    Exact for an attempt of this host; one of another host counts as dead when it was not touched for `older_than`
    seconds.
    """
    try:
        owner = json.loads(scratch.owner.read_bytes())
    except (OSError, ValueError):
        return scratch.failure.exists() or _age(scratch.path) > older_than
    if scratch.failure.exists():
        return True
    if owner["host"] == host_name():
        return bool(owner["process"] != process_identity(owner["pid"]))
    return _age(scratch.owner) > older_than


def _age(path: Path) -> float:
    """Return the seconds since a file's last change, by the file system's own clock."""
    try:
        return clock(path.parent) - path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def empty(scratch: Scratch, reason: str) -> None:
    """Free what a failed attempt holds; its folder stays, with the reason, so that attempts can be counted."""
    if not scratch.failure.exists():
        write_replacing(scratch.failure, json.dumps({"reason": reason}) + "\n")
    remove(scratch.work)
    remove(scratch.output)


def failure_reason(scratch: Scratch) -> str | None:
    """Return why this attempt failed, None if nobody has said so yet."""
    try:
        return str(json.loads(scratch.failure.read_bytes())["reason"])
    except (OSError, ValueError):
        return None


def sweep(folder: JobFolder, older_than: float) -> int:
    """Remove the scratch folders that nobody works in. Returns how many."""
    dead = [scratch for scratch in attempts(folder) if is_abandoned(scratch, older_than)]
    for scratch in dead:
        remove(scratch.path)
    return len(dead)


def remove(path: Path) -> None:
    """Remove a folder of ours and all that is in it; it may be half gone already."""
    shutil.rmtree(path, ignore_errors=True)
