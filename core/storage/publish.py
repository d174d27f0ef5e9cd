"""Brings a job's files into the folder that it named: by a publish that only rolls forward."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

import structlog

from core.errors import NotWritable, UnsafePath
from core.model import KINDS, FilePath, Job, Model, State, StepResult
from core.storage import beneath, conflicts, ledger, order
from core.storage import files as storage_files
from core.storage.conflicts import STAGE_PREFIX, Claim
from core.storage.files import disk_errors
from core.storage.job_folder import JobFolder
from core.storage.ledger import Ledger, LedgerEntry, Mark
from core.storage.permissions import Access

_log = structlog.get_logger()

#: The copy of `publish.json` that a stage carries, for whoever finds the stage.
JOURNAL = ".publish.json"


class PublishedFile(Model):
    """One name to be replaced; `source` is relative to the job's folder."""

    name: str
    step: str
    source: str
    size: int
    sha256: str
    #: Seconds since 1970.
    modified_at: float
    corrected_at: datetime | None = None


class Publication(Model):
    """`publish.json`: the commit of a publish. From here on it can only be completed, by whoever comes next."""

    job: str
    job_folder: FilePath
    created_at: datetime
    #: Its place among the jobs for this folder (core/storage/order.py).
    number: int = 0
    output: FilePath
    stage: str
    #: What the job is made of, as the ledger has it.
    sources: tuple[str, ...]
    files: tuple[PublishedFile, ...]
    #: Names that an earlier job of the same source and steps published here and this one doesn't.
    remove: tuple[str, ...]
    #: What the job has published before and leaves as it is.
    earlier: tuple[PublishedFile, ...] = ()

    def entries(self) -> Iterator[LedgerEntry]:
        """Yield the folder's new entries in the ledger, one a step."""
        for step, corrected_at in dict.fromkeys((file.step, file.corrected_at) for file in self.files):
            yield LedgerEntry(
                job=self.job,
                created_at=self.created_at,
                number=self.number,
                step=step,
                sources=self.sources,
                files={
                    file.name: Mark(size=file.size, modified_at=file.modified_at)
                    for file in self.files
                    if (file.step, file.corrected_at) == (step, corrected_at)
                },
                corrected_at=corrected_at,
            )


Lock = Callable[[Path], AbstractContextManager[None]]


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; freed by the kernel when the process dies."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def prepare_output(output: Path, roots: Sequence[Path] = ()) -> None:
    """Make the folder that a job names, and find out now, not after hours of work, if it can't be written.

    Raises:
        UnsafePath: a link has led it out of `roots` since it was named.
        NotWritable, NoSpace
    """
    beneath.check_places(output, (), roots)
    with disk_errors(output):
        try:
            output.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise NotWritable(f"{output}: is not a folder", remedy="choose another name", path=str(output)) from error
        with tempfile.TemporaryFile(dir=output) as probe:
            probe.write(b"\0")


def publish(
    folder: JobFolder,
    job: Job,
    results: Sequence[StepResult],
    *,
    lock: Lock = folder_lock,
    access: Access = Access(),  # noqa: B008  # frozen
    roots: Sequence[Path] = (),
    complete: bool = True,
) -> State:
    """Put the files of `results` into `job.output`, and remove what an earlier job of the same source and steps left.

    Nothing half written is ever visible: files are staged inside the folder, then renamed in an order that is safe
    for readers. A publish that was killed is completed here first, whoever's it was.

    Returns SUCCEEDED, or SUPERSEDED when a younger job has published the same there meanwhile.

    :param roots: one of them must still hold the folder; none: it may lie anywhere.
    :param complete: `results` have all that the job makes; else what it has published besides stays.

    Raises:
        WouldReplace: one of the files would take the place of one that is not this job's, or that it reads.
        UnsafePath: a link leads out of the roots, or out of the folder.
    """
    output = job.output
    if output is None:
        return State.SUCCEEDED
    prepare_output(output, roots)
    with lock(output):
        complete_interrupted(output, folder.root)
        ours = conflicts.claim(folder.root, job, results)
        number = order.take(folder.root, output, job.id)
        if _is_superseded(ours, number, results):
            return State.SUPERSEDED
        _check(ours, results, complete=complete)
        stage = output / f"{STAGE_PREFIX}{job.id}.{secrets.token_hex(4)}"
        try:
            with disk_errors(output):
                publication = _stage(folder, ours, number, results, stage, access, complete=complete)
                access.grant(output)
            _check(ours, results, complete=complete)  # copying takes its time
            _check_places(publication, output, roots)
        except BaseException:
            storage_files.remove(stage)
            raise
        storage_files.write_replacing(folder.publication, publication.to_json())
        _roll_forward(publication, folder.root)
    return State.SUCCEEDED


def _is_superseded(ours: Claim, number: int, results: Sequence[StepResult]) -> bool:
    """Tell whether a younger job has published one of these steps of this source."""
    return any(
        entry.job != ours.job.id and entry.number > number and ours.owns(entry, result.step)
        for entry in ours.ledger.entries
        for result in results
    )


def _check(ours: Claim, results: Sequence[StepResult], *, complete: bool) -> None:
    made = {artifact.path: result.step for result in results for artifact in result.artifacts}
    ours.check_inputs([*made, *(ours.to_remove(made) if complete else ())])
    ours.check(made)


def _check_places(publication: Publication, output: Path, roots: Sequence[Path] = ()) -> None:
    """Raise UnsafePath if a file would be written or removed elsewhere."""
    beneath.check_places(output, [*(file.name for file in publication.files), *publication.remove], roots)


def complete_interrupted(output: Path, root: Path) -> None:
    """Finish or drop the publishes into `output` whose process died. Call it with the folder's lock held.

    Whoever may write there may have left a journal of their own: one that would touch anything else is dropped.
    """
    for stage in sorted(output.glob(f"{STAGE_PREFIX}*.*")):
        try:
            publication = Publication.model_validate_json((stage / JOURNAL).read_bytes())
            if publication.stage != stage.name or publication.output.resolve() != output.resolve():
                raise UnsafePath(f"{stage}: is of another folder, {publication.output}", path=str(stage))
            _check_places(publication, output)
        except (FileNotFoundError, ValueError) as error:
            if isinstance(error, UnsafePath):
                _log.warning("a publish was dropped", reason=str(error))
            storage_files.remove(stage)
            continue
        if _is_committed(publication, stage):
            _roll_forward(publication, root)
        else:
            storage_files.remove(stage)


def _is_committed(publication: Publication, stage: Path) -> bool:
    try:
        recorded = Publication.model_validate_json((publication.job_folder / "publish.json").read_bytes())
    except FileNotFoundError:
        # The job's own folder is gone or not mounted here; a rename that has begun is a commit.
        return any(not (stage / file.name).exists() for file in publication.files)
    return recorded.stage == publication.stage


def _stage(
    folder: JobFolder,
    ours: Claim,
    number: int,
    results: Sequence[StepResult],
    stage: Path,
    access: Access,
    *,
    complete: bool,
) -> Publication:
    stage.mkdir()
    files = []
    made = [(artifact, result) for result in results for artifact in result.artifacts]
    for artifact, result in sorted(made, key=lambda one: KINDS.index(one[0].kind)):
        source = f"{result.folder}/{artifact.path}"
        target = stage / artifact.path
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(folder.path / source, target)
        access.grant(target)
        files.append(
            PublishedFile(
                name=artifact.path,
                step=result.step,
                source=source,
                size=artifact.size or 0,
                sha256=artifact.sha256 or "",
                modified_at=target.stat().st_mtime,
                corrected_at=result.corrected_at,
            )
        )
    publication = Publication(
        job=folder.id,
        job_folder=folder.path.resolve(),
        created_at=ours.job.created_at,
        number=number,
        output=ours.output,
        stage=stage.name,
        sources=ours.sources,
        files=tuple(files),
        remove=ours.to_remove({file.name: file.step for file in files}) if complete else (),
        earlier=() if complete else _earlier(folder, {file.name for file in files}),
    )
    storage_files.write_once(stage / JOURNAL, publication.to_json())
    return publication


def _earlier(folder: JobFolder, replaced: Collection[str]) -> tuple[PublishedFile, ...]:
    try:
        before = Publication.model_validate_json(folder.publication.read_bytes())
    except FileNotFoundError:
        return ()
    return tuple(file for file in (*before.earlier, *before.files) if file.name not in replaced)


def link_or_copy(source: Path, target: Path) -> None:
    """Give `source` a second name, or copy it where the file system can't (another one, or no links)."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            raise
        with source.open("rb") as reader, target.open("xb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
            writer.flush()
            os.fsync(writer.fileno())
        found = source.stat()
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))  # as a link has it: the ledger knows a file by it


def put_back(folder: JobFolder, *, access: Access, roots: Sequence[Path] = ()) -> State:
    """Put back the published files that are missing, because the portal has used them up or a mount was late.

    Returns SUPERSEDED when another job has published there meanwhile.

    Raises:
        UnsafePath: as in `publish`.
    """
    publication = Publication.model_validate_json(folder.publication.read_bytes())
    known = ledger.read(folder.root, publication.output)
    if known.entries and all(entry.job != folder.id for entry in known.entries):
        return State.SUPERSEDED
    _check_places(publication, publication.output, roots)
    for file in (*publication.earlier, *publication.files):
        put(folder.path / file.source, publication.output / file.name, access, replace=False)
    return State.SUCCEEDED


def place(folder: JobFolder, source: Path, target: Path, access: Access) -> None:
    """As `put`, where somebody else's file may be.

    Raises:
        WouldReplace: what lies there is not of this job's sources.
    """
    job = folder.job()
    conflicts.check_place(folder.root, job, target)
    found = source.stat()
    mark = Mark(size=found.st_size, modified_at=found.st_mtime)
    sources = ledger.sources(folder.root, job)
    entry = LedgerEntry(
        job=job.id, created_at=job.created_at, step=job.steps[0], sources=sources, files={target.name: mark}
    )
    ledger.write(folder.root, Ledger(output=target, entries=(entry,)))
    put(source, target, access)


def put(source: Path, target: Path, access: Access, *, replace: bool = True) -> None:
    """Give a file a second place, at once and with the portal's access; folders are made."""
    if not replace and target.exists():
        return
    new = target.with_name(f"{STAGE_PREFIX}{target.name}.{secrets.token_hex(4)}")
    with disk_errors(target):
        if not target.parent.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            access.grant(target.parent)
        try:
            link_or_copy(source, new)
            access.grant(new)
            new.replace(target)
        finally:
            new.unlink(missing_ok=True)


def _roll_forward(publication: Publication, root: Path) -> None:
    output, stage = publication.output, publication.output / publication.stage
    with disk_errors(output):
        for file in publication.files:
            target = output / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                (stage / file.name).replace(target)
        for name in publication.remove:
            (output / name).unlink(missing_ok=True)
    known = ledger.read(root, output)
    ledger.write(root, known.updated(publication.entries(), publication.remove))
    storage_files.remove(stage)
