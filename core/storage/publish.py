"""Brings a job's files into the folder that it named: by a publish that only rolls forward."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import structlog

from core.errors import NotWritable, UnknownJob
from core.model import KINDS, Job, State, StepResult
from core.storage import beneath, conflicts, ledger, order
from core.storage import files as storage_files
from core.storage.conflicts import STAGE_PREFIX, Claim
from core.storage.files import disk_errors
from core.storage.job_folder import JobFolder
from core.storage.ledger import Ledger, LedgerEntry, Mark, Publication, PublishedFile
from core.storage.permissions import Access

_log = structlog.get_logger()

#: The copy of `publish.json` that a stage carries, for whoever finds the stage; it gives no orders.
JOURNAL = ".publish.json"

#: What the name of a stage begins with that was set aside.
ASIDE_PREFIX = ".set-aside-by-amphipod-"


Lock = Callable[[Path], AbstractContextManager[None]]


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; freed by the kernel when the process dies."""
    with beneath.folder(folder) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def prepare_output(output: Path, roots: Sequence[Path] = ()) -> None:
    """Make the folder that a job names, and find out now, not after hours of work, if it can't be written.

    Raises:
        UnsafePath: a link has led it out of `roots` since it was named.
        NotWritable, NoSpace
    """
    with disk_errors(output):
        try:
            with (
                beneath.folder(output, roots, make=True) as place,
                tempfile.TemporaryFile(dir=f"/proc/self/fd/{place}") as probe,
            ):
                probe.write(b"\0")
        except NotADirectoryError as error:
            raise NotWritable(f"{output}: is not a folder", remedy="choose another name", path=str(output)) from error


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
    with lock(output), beneath.folder(output, roots) as place:
        complete_interrupted(output, folder.root, roots)
        ours = conflicts.claim(folder.root, job, results)
        number = order.take(folder.root, output, job.id)
        if _is_superseded(ours, number, results):
            return State.SUPERSEDED
        _check(ours, results, complete=complete)
        stage = f"{STAGE_PREFIX}{job.id}.{secrets.token_hex(4)}"
        try:
            with disk_errors(output):
                publication = _stage(folder, ours, number, results, stage, place, access, complete=complete)
                access.grant(place, output)
            _check(ours, results, complete=complete)  # copying takes its time
            _check_places(publication, output, roots)
        except BaseException:
            beneath.remove(stage, place)
            raise
        storage_files.write_replacing(folder.publication, publication.to_json())
        if missing := _roll_forward(publication, folder.root, place):
            raise NotWritable(
                f"{output}: {', '.join(missing[:3])} went missing while they were published",
                remedy="whoever may write there has to stop",
                path=str(output),
            )
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


def complete_interrupted(output: Path, root: Path, roots: Sequence[Path] = ()) -> None:
    """Finish or drop the publishes into `output` whose process died. Call it with the folder's lock held.

    Whoever may write there may leave a stage and a journal of their own. So what is obeyed is the record in the folder
    of the job that the stage is named after; a stage of a job that isn't known here is set aside, with a note.

    Raises:
        UnsafePath: a link leads out of the roots, or out of the folder.
    """
    with beneath.folder(output, roots) as place:
        names = os.listdir(place)  # noqa: PTH208  # a descriptor
        for stage in sorted(name for name in names if name.startswith(STAGE_PREFIX)):
            job = JobFolder(root, stage.removeprefix(STAGE_PREFIX).rpartition(".")[0])
            recorded = _recorded(job)
            if recorded and _is_begun(recorded, root, stage, output):
                _roll_forward(recorded, root, place)
            elif recorded or _is_known(job) or not _has_journal(stage, place):
                beneath.remove(stage, place)
                _log.info("what a publish had staged was removed: it was never begun", path=str(output / stage))
            else:
                _set_aside(stage, output, place)


def _recorded(job: JobFolder) -> Publication | None:
    """Return what a job has begun to publish last."""
    try:
        return Publication.model_validate_json(job.publication.read_bytes())
    except (FileNotFoundError, UnknownJob):
        return None


def _is_begun(publication: Publication, root: Path, stage: str, output: Path) -> bool:
    """Tell whether a stage is that of a publish into this folder that isn't complete."""
    known = ledger.read(root, output).entries
    is_complete = all(one in known for one in publication.entries()) or any(
        one.number > publication.number for one in known
    )
    return publication.stage == stage and publication.output.resolve() == output.resolve() and not is_complete


def _is_known(job: JobFolder) -> bool:
    with contextlib.suppress(UnknownJob):
        return job.request.exists()
    return False


def _has_journal(stage: str, place: int) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISREG(os.stat(f"{stage}/{JOURNAL}", dir_fd=place, follow_symlinks=False).st_mode)
    return False


def _set_aside(stage: str, output: Path, place: int) -> None:
    """Keep a stage that nobody here can answer for, under a name that no publish looks at."""
    aside = f"{ASIDE_PREFIX}{stage.removeprefix(STAGE_PREFIX)}"
    with disk_errors(output):
        os.rename(stage, aside, src_dir_fd=place, dst_dir_fd=place)
    _log.warning("a publish was set aside: the job that it names is not known here", path=str(output / aside))


def _stage(
    folder: JobFolder,
    ours: Claim,
    number: int,
    results: Sequence[StepResult],
    stage: str,
    place: int,
    access: Access,
    *,
    complete: bool,
) -> Publication:
    os.mkdir(stage, dir_fd=place)
    files = []
    made = [(artifact, result) for result in results for artifact in result.artifacts]
    for artifact, result in sorted(made, key=lambda one: KINDS.index(one[0].kind)):
        source = f"{result.folder}/{artifact.path}"
        with beneath.parent(place, f"{stage}/{artifact.path}", make=True) as (inner, name):
            beneath.link_or_copy(folder.path / source, inner, name)
            with beneath.file(name, inner) as held:
                access.grant(held, ours.output / artifact.path)
                modified_at = os.fstat(held).st_mtime
        files.append(
            PublishedFile(
                name=artifact.path,
                step=result.step,
                source=source,
                size=artifact.size or 0,
                sha256=artifact.sha256 or "",
                modified_at=modified_at,
                corrected_at=result.corrected_at,
            )
        )
    publication = Publication(
        job=folder.id,
        job_folder=folder.path.resolve(),
        created_at=ours.job.created_at,
        number=number,
        output=ours.output,
        stage=stage,
        sources=ours.sources,
        files=tuple(files),
        remove=ours.to_remove({file.name: file.step for file in files}) if complete else (),
        earlier=() if complete else _earlier(folder, {file.name for file in files}),
    )
    with beneath.parent(place, f"{stage}/{JOURNAL}") as (inner, name), beneath.new_file(name, inner) as journal:
        journal.write(publication.to_json().encode())
    return publication


def _earlier(folder: JobFolder, replaced: Collection[str]) -> tuple[PublishedFile, ...]:
    try:
        before = Publication.model_validate_json(folder.publication.read_bytes())
    except FileNotFoundError:
        return ()
    return tuple(file for file in (*before.earlier, *before.files) if file.name not in replaced)


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
        put(folder.path / file.source, publication.output / file.name, access, replace=False, roots=roots)
    return State.SUCCEEDED


def place(folder: JobFolder, source: Path, target: Path, access: Access, roots: Sequence[Path] = ()) -> None:
    """As `put`, where somebody else's file may be.

    Raises:
        WouldReplace: what lies there is not of this job's sources.
        UnsafePath: as in `put`.
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
    put(source, target, access, roots=roots)


def put(source: Path, target: Path, access: Access, *, replace: bool = True, roots: Sequence[Path] = ()) -> None:
    """Give a file a second place, at once and with the portal's access; folders are made.

    Raises:
        UnsafePath: a link leads out of the roots.
    """
    if not replace and target.exists():
        return
    new = f"{STAGE_PREFIX}{target.name}.{secrets.token_hex(4)}"
    is_new = not target.parent.exists()
    with disk_errors(target), beneath.folder(target.parent, roots, make=True) as place:
        if is_new:
            access.grant(place, target.parent)
        try:
            beneath.link_or_copy(source, place, new)
            with beneath.file(new, place) as held:
                access.grant(held, target)
            os.rename(new, target.name, src_dir_fd=place, dst_dir_fd=place)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new, dir_fd=place)


def _roll_forward(publication: Publication, root: Path, place: int) -> list[str]:
    """Rename what is staged; returns the names that were not, which is as it should be when it was begun before."""
    output, stage = publication.output, publication.stage
    missing = []
    with disk_errors(output):
        for file in publication.files:
            try:
                with (
                    beneath.parent(place, f"{stage}/{file.name}") as (staged, name),
                    beneath.parent(place, file.name, make=True) as (target, _),
                ):
                    os.rename(name, name, src_dir_fd=staged, dst_dir_fd=target)
            except FileNotFoundError:
                missing.append(file.name)
        for gone in publication.remove:
            with contextlib.suppress(FileNotFoundError), beneath.parent(place, gone) as (target, name):
                os.unlink(name, dir_fd=target)
    known = ledger.read(root, output)
    ledger.write(root, known.updated(publication.entries(), publication.remove))
    beneath.remove(stage, place)
    return missing
