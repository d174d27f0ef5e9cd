"""Making results final: a step's result by exclusive link, a named folder by a publish that only rolls forward."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

from core import storage
from core.access import Access
from core.errors import HookFailed, NotWritable, StepCrashed
from core.model import Artifact, Job, Model, State, StepResult
from core.storage import JobFolder, Scratch, disk_errors

#: Prefix of the folder, inside the one that is published into, where new files wait for their renames.
STAGE_PREFIX = ".amphipod-"

#: The copy of `publish.json` that a stage carries, for whoever finds the stage.
JOURNAL = ".publish.json"

#: A reader that meets a new name finds what it names already there: segments before playlists, playlists before the
#: master, info last because Pod takes it for the sign that all is complete.
_LAST_KINDS = ("playlist", "thumbnail", "sprite", "sprite_index", "subtitle", "caption", "master", "info")


# A step's result


def measure(artifacts: Sequence[Artifact], output: Path) -> tuple[Artifact, ...]:
    """Fill in size and sha256, and put each file on stable storage.

    Raises:
        HookFailed: an artifact has no file, or a file no artifact.
    """
    names = [artifact.path for artifact in artifacts]
    there = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    if lost := sorted(set(names) - there):
        raise HookFailed(f"the engine named files that it did not write: {', '.join(lost)}")
    if unnamed := sorted(there - set(names)):
        raise HookFailed(f"the engine wrote files that it did not name: {', '.join(unnamed)}")
    measured = []
    for artifact in artifacts:
        with disk_errors(output), (output / artifact.path).open("rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            measured.append(artifact.model_copy(update={"size": file.tell(), "sha256": digest}))
    return tuple(measured)


def commit(folder: JobFolder, result: StepResult, scratch: Scratch | None = None) -> StepResult:
    """Make `result` the step's, with the files of `scratch.output`, unless another attempt was first.

    Returns the result that stands: ours or theirs. Our files are dropped when they won, and the scratch folder is
    gone in both cases.
    """
    published = folder.path / result.folder if result.folder else None
    try:
        with disk_errors(folder.path):
            if published and scratch:
                scratch.output.rename(published)
            storage.write_once(folder.result(result.step, result.run), result.to_json())
    except FileExistsError:
        if published:
            storage.remove(published)
        return _standing(folder, result)
    except FileNotFoundError:
        # Somebody took us for dead and swept our scratch folder: they do that only once the step is committed.
        return _standing(folder, result)
    finally:
        if scratch:
            storage.remove(scratch.path)
    return result


def _standing(folder: JobFolder, ours: StepResult) -> StepResult:
    try:
        return StepResult.model_validate_json(folder.result(ours.step, ours.run).read_bytes())
    except FileNotFoundError as error:
        raise StepCrashed(
            f"the files of attempt {ours.attempt} at {ours.step} were removed while it ran",
            job=ours.job,
            step=ours.step,
        ) from error


# A folder that the job names


class PublishedFile(Model):
    """One name to be replaced; `source` is relative to the job's folder."""

    name: str
    source: str
    size: int
    sha256: str


class Publication(Model):
    """`publish.json`: the commit of a publish. From here on it can only be completed, by whoever comes next."""

    job: str
    job_folder: Path
    created_at: datetime
    output: Path
    stage: str
    files: tuple[PublishedFile, ...]
    #: Names that an earlier job of ours published here and this one doesn't.
    remove: tuple[str, ...]


class Ledger(Model):
    """`<root>/outputs/<digest of the path>.json`: who published last into a folder, and what."""

    output: Path
    job: str
    created_at: datetime
    names: tuple[str, ...]


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


def prepare_output(output: Path) -> None:
    """Make the folder that a job names, and find out now, not after hours of work, if it can't be written.

    Raises:
        NotWritable, NoSpace
    """
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
) -> State:
    """Replace what `job.output` holds by the files of `results`.

    Nothing half written is ever visible: files are staged inside the folder, then renamed in an order that is safe
    for readers. A publish that was killed is completed here first, whoever's it was.

    Returns SUCCEEDED, or SUPERSEDED when a younger job has published there meanwhile.
    """
    output = job.output
    if output is None:
        return State.SUCCEEDED
    prepare_output(output)
    with lock(output):
        complete_interrupted(output, folder.root)
        ledger = _read_ledger(folder.root, output)
        if ledger and ledger.job != job.id and ledger.created_at > job.created_at:
            return State.SUPERSEDED
        stage = output / f"{STAGE_PREFIX}{job.id}.{secrets.token_hex(4)}"
        try:
            with disk_errors(output):
                publication = _stage(folder, job, results, stage, ledger, access)
                access.grant(output)
        except BaseException:
            storage.remove(stage)
            raise
        storage.write_replacing(folder.publication, publication.to_json())
        _roll_forward(publication, folder.root)
    return State.SUCCEEDED


def complete_interrupted(output: Path, root: Path) -> None:
    """Finish or drop the publishes into `output` whose process died. Call it with the folder's lock held."""
    for stage in sorted(output.glob(f"{STAGE_PREFIX}*.*")):
        try:
            publication = Publication.model_validate_json((stage / JOURNAL).read_bytes())
        except (FileNotFoundError, ValueError):
            storage.remove(stage)
            continue
        if _is_committed(publication, stage):
            _roll_forward(publication, root)
        else:
            storage.remove(stage)


def _is_committed(publication: Publication, stage: Path) -> bool:
    try:
        recorded = Publication.model_validate_json((publication.job_folder / "publish.json").read_bytes())
    except FileNotFoundError:
        # The job's own folder is gone or not mounted here; a rename that has begun is a commit.
        return any(not (stage / file.name).exists() for file in publication.files)
    return recorded.stage == publication.stage


def _stage(
    folder: JobFolder, job: Job, results: Sequence[StepResult], stage: Path, ledger: Ledger | None, access: Access
) -> Publication:
    stage.mkdir()
    files = []
    for result in results:
        for artifact in sorted(result.artifacts, key=_rank):
            source = f"{result.folder}/{artifact.path}"
            target = stage / artifact.path
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(folder.path / source, target)
            access.grant(target)
            files.append(
                PublishedFile(name=artifact.path, source=source, size=artifact.size or 0, sha256=artifact.sha256 or "")
            )
    assert job.output is not None
    names = {file.name for file in files}
    publication = Publication(
        job=job.id,
        job_folder=folder.path.resolve(),
        created_at=job.created_at,
        output=job.output,
        stage=stage.name,
        files=tuple(files),
        remove=tuple(sorted(set(ledger.names) - names)) if ledger else (),
    )
    storage.write_once(stage / JOURNAL, publication.to_json())
    return publication


def _rank(artifact: Artifact) -> int:
    return _LAST_KINDS.index(artifact.kind) + 1 if artifact.kind in _LAST_KINDS else 0


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


def put_back(folder: JobFolder, *, access: Access) -> State:
    """Put back the published files that are missing, because the portal has used them up or a mount was late.

    Returns SUPERSEDED when another job has published there meanwhile.
    """
    publication = Publication.model_validate_json(folder.publication.read_bytes())
    ledger = _read_ledger(folder.root, publication.output)
    if ledger and ledger.job != folder.id:
        return State.SUPERSEDED
    for file in publication.files:
        put(folder.path / file.source, publication.output / file.name, access, replace=False)
    return State.SUCCEEDED


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
    ledger = Ledger(
        output=output,
        job=publication.job,
        created_at=publication.created_at,
        names=tuple(file.name for file in publication.files),
    )
    path = _ledger_path(root, output)
    path.parent.mkdir(exist_ok=True)
    storage.write_replacing(path, ledger.to_json())
    storage.remove(stage)


def _ledger_path(root: Path, output: Path) -> Path:
    return root / "outputs" / f"{hashlib.sha256(os.fsencode(output.resolve())).hexdigest()[:32]}.json"


def _read_ledger(root: Path, output: Path) -> Ledger | None:
    try:
        return Ledger.model_validate_json(_ledger_path(root, output).read_bytes())
    except FileNotFoundError:
        return None
