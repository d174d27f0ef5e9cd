"""Films that come by HTTP: they lie below the first media root, where workers see them, whole or not at all.

<first media root, else the jobs root>/uploads/<id>/upload.json    what was announced
                                                   /.part           what has come so far
                                                   /<name>          the whole film
                                                   /job-<id>        a job that reads it
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError

from core.errors import BadCall, JobConflict, LimitExceeded, UnknownJob, UnsafePath
from core.model import Model, State, now
from core.retention import holdings
from core.retention.holdings import Removable
from core.settings import Settings
from core.storage import beneath, files, job_state
from core.storage.job_folder import JobFolder

_ID = re.compile(r"[0-9a-f]{32}")

#: Bytes of a file's name.
_NAME_LIMIT = 200

#: Bytes of an upload's record.
_RECORD_LIMIT = 1 << 16

#: Free bytes that an upload leaves to those who work.
_SPARED = 1 << 30

_HOUR = 3600.0


def _is_safe(name: str) -> str:
    """Others may write below the media roots: what stands in a record may lead anywhere."""
    if safe_name(name) != name:
        raise ValueError("is no name for a film")
    return name


class Upload(Model):
    """`upload.json`."""

    id: str
    name: Annotated[str, AfterValidator(_is_safe)]
    #: Bytes of the whole film.
    size: int = Field(ge=1)
    created_at: datetime = Field(default_factory=now)


@dataclass(frozen=True)
class UploadFolder:
    """Where an upload is."""

    path: Path

    @property
    def about(self) -> Path:
        return self.path / "upload.json"

    @property
    def part(self) -> Path:
        return self.path / ".part"

    def read(self) -> Upload:
        """Return what was announced.

        Raises:
            BadCall: there is no such upload.
        """
        try:
            return Upload.model_validate_json(_record(self))
        except (OSError, UnsafePath, ValidationError) as error:
            raise UnknownUpload(f"no upload {self.path.name}", remedy="begin it anew") from error

    def offset(self) -> int:
        """Return how many bytes have come."""
        with suppress(FileNotFoundError):
            return self.part.stat().st_size
        return self.read().size

    def film(self) -> Path:
        """Return the film, once it is whole.

        Raises:
            JobConflict: it is not.
            BadCall: there is no such upload.
        """
        upload = self.read()
        whole = self.path / upload.name
        if not whole.exists():
            raise JobConflict(
                f"of upload {upload.id} {self.offset()} of {upload.size} bytes have come", remedy="send the rest first"
            )
        return whole


class UnknownUpload(BadCall):
    """No upload has this id."""


def _record(place: UploadFolder) -> bytes:
    """Read an upload's record: others may have put a link, a pipe or something without end in its place."""
    with beneath.folder(place.path, [place.path.parent]) as held, beneath.file(place.about.name, held) as found:
        return os.read(found, _RECORD_LIMIT) if stat.S_ISREG(os.fstat(found).st_mode) else b""


def _part(place: UploadFolder, upload: Upload) -> int:
    """Open what has come so far, to append to it.

    Raises:
        JobConflict: the film is whole, or something else lies there.
    """
    try:
        with beneath.folder(place.path, [place.path.parent]) as held:
            flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            part = os.open(place.part.name, flags, dir_fd=held)
    except FileNotFoundError as error:
        raise JobConflict(f"upload {upload.id} is complete") from error
    except OSError as error:
        raise _replaced(upload) from error
    found = os.fstat(part)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(part)
        raise _replaced(upload)
    return part


def _replaced(upload: Upload) -> JobConflict:
    words = f"upload {upload.id} can't go on: somebody has put something else in its place"
    return JobConflict(words, remedy="begin it anew")


def root(settings: Settings) -> Path:
    """Return the folder of all uploads."""
    return (settings.media_roots[0] if settings.media_roots else settings.jobs_root) / "uploads"


def folder(settings: Settings, upload: str) -> UploadFolder:
    """Return an upload's folder.

    Raises:
        UnknownUpload: none can have this id.
    """
    if not _ID.fullmatch(upload):
        raise UnknownUpload(f"{upload!r} is no upload", remedy="its id is what the answer to POST says")
    return UploadFolder(root(settings) / upload)


def begin(settings: Settings, name: str, size: int) -> Upload:
    """Make room for a film of `size` bytes.

    Raises:
        LimitExceeded: it is larger than the settings allow.
        NoSpace: the disk has no room for it.
        BadCall: no film can be called so.
        NotWritable
    """
    limit = settings.web_upload_limit
    if size > limit:
        raise LimitExceeded(f"{size} bytes are more than {limit}", remedy="raise AMPHIPOD_WEB_UPLOAD_LIMIT")
    if size < 1:
        raise BadCall("an empty file is no film")
    upload = Upload(id=secrets.token_hex(16), name=safe_name(name), size=size)
    place = folder(settings, upload.id)
    with files.disk_errors(place.path):
        files.make_folder(place.path)
        if shutil.disk_usage(place.path).free < size + _SPARED:
            place.path.rmdir()
            raise files.no_space(place.path)
        place.part.touch(files.PRIVATE)
        files.share(place.part)
        files.write_once(place.about, upload.to_json())
    return upload


def safe_name(name: str) -> str:
    """Return a file name that leads nowhere and that any terminal can show.

    Raises:
        BadCall: nothing is left of it.
    """
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    kept = "".join(one for one in last if one.isprintable()).strip().lstrip(".").strip()
    stem, dot, suffix = kept.rpartition(".")
    while len(kept.encode("utf-8", "replace")) > _NAME_LIMIT and stem:
        stem = stem[:-1]
        kept = f"{stem}{dot}{suffix}"
    if not kept or len(kept.encode("utf-8", "replace")) > _NAME_LIMIT or kept == UploadFolder(Path()).about.name:
        raise BadCall(f"{name[:80]!r} is no name for a film", remedy="call it lecture.mp4, say")
    return kept


@contextmanager
def appending(place: UploadFolder, offset: int) -> Iterator[Appender]:
    """Give what takes the bytes from `offset` on.

    Raises:
        UnknownUpload
        JobConflict: as many have not come, or more, or another request is at it.
    """
    upload = place.read()
    descriptor = _part(place, upload)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JobConflict(f"another request is at upload {upload.id}", remedy="wait for it") from error
        here = os.fstat(descriptor).st_size
        if here != offset:
            raise JobConflict(
                f"of upload {upload.id} {here} bytes have come, not {offset}", remedy=f"go on from {here}"
            )
        yield Appender(place, upload, descriptor, here)
    finally:
        os.close(descriptor)


class Appender:
    """Takes the next bytes of an upload."""

    def __init__(self, place: UploadFolder, upload: Upload, descriptor: int, offset: int) -> None:
        self._place = place
        self._upload = upload
        self._descriptor = descriptor
        self.offset = offset

    def write(self, data: bytes) -> None:
        """Append; what the disk has no room for is said, and the rest kept.

        Raises:
            LimitExceeded: more came than was announced.
            NoSpace, NotWritable
        """
        if self.offset + len(data) > self._upload.size:
            raise LimitExceeded(f"more than the {self._upload.size} bytes came that were announced")
        with files.disk_errors(self._place.part):
            view = memoryview(data)
            while view:
                written = os.write(self._descriptor, view)
                self.offset += written
                view = view[written:]

    def finish(self) -> bool:
        """Make the film visible if it is whole. Returns whether it is."""
        if self.offset < self._upload.size:
            return False
        with files.disk_errors(self._place.part):
            os.fsync(self._descriptor)
            self._place.part.rename(self._place.path / self._upload.name)
        return True


def hold(place: UploadFolder, job: str) -> None:
    """Have an upload kept for a job."""
    (place.path / f"job-{job}").touch()


def remove(settings: Settings, place: UploadFolder) -> None:
    """Forget an upload, complete or not.

    Raises:
        UnknownUpload
        JobConflict: a job needs it.
    """
    upload = place.read()
    if job := _reader(settings, place):
        raise JobConflict(f"job {job} needs upload {upload.id}", remedy="cancel or delete it first", job=job)
    files.remove(place.path)


def sweep(settings: Settings, *, dry_run: bool = False) -> Iterator[Removable]:
    """Remove the uploads that were abandoned half-way, or that no job needs any more, and yield what it was."""
    limit = now().timestamp() - settings.retain_upload_hours * _HOUR
    for path in sorted(root(settings).glob("*")):
        place = UploadFolder(path)
        if not _ID.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
            continue
        if _last_change(place) > limit or _reader(settings, place):
            continue
        why = "no job needs it" if place.about.exists() and not place.part.exists() else "never completed"
        frees = sum(one.lstat().st_blocks * 512 for one in path.iterdir())
        if not dry_run:
            files.remove(path)
        yield Removable(job=path.name, what="upload", why=why, paths=(path,), frees=frees)


def _last_change(place: UploadFolder) -> float:
    return max((one.lstat().st_mtime for one in (place.path, *place.path.iterdir())), default=0.0)


def _reader(settings: Settings, place: UploadFolder) -> str | None:
    """Return a job that reads an upload, or may once more."""
    for path in place.path.glob("job-*"):
        job = JobFolder(settings.jobs_root, path.name.removeprefix("job-"))
        with suppress(UnknownJob):
            state = job_state.fold(job).state
            may_again = state in (State.FAILED, State.CANCELLED) and not holdings.swept(job)
            if not state.is_final or may_again:
                return job.id
    return None
