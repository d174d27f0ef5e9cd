"""Makes a step's result final: by exclusive link, so that of two attempts one counts."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from core.errors import HookFailed, StepCrashed
from core.model import Artifact, StepResult
from core.storage import beneath
from core.storage import files as storage_files
from core.storage.files import disk_errors
from core.storage.job_folder import JobFolder
from core.storage.scratch_folder import Scratch

#: Of a file's mode: who may run it, as whom.
_RUN = 0o7111


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


def check(artifacts: Sequence[Artifact], output: Path) -> None:
    """Look for ourselves at what a step's process has left: the files that it has named, and nothing else.

    They get no right to be run, whatever it gave them: they are ours, and who runs them would be us.

    Raises:
        StepCrashed: a decoder in it has been taken over, or a library is broken.
    """
    sizes = {artifact.path: artifact.size for artifact in artifacts}
    folders = {str(one) for path in sizes for one in PurePosixPath(path).parents}
    waiting = ["."]
    with beneath.folder(output) as held:
        while waiting:
            place = waiting.pop()
            with beneath.parent(held, f"{place}/-") as (inner, _):
                for name in _names(inner):
                    path = str(PurePosixPath(place, name))
                    found = os.stat(name, dir_fd=inner, follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode) and path in folders:
                        waiting.append(path)
                    elif not stat.S_ISREG(found.st_mode) or sizes.pop(path, None) != found.st_size:
                        raise StepCrashed(f"the step's process left what it did not name: {path}", path=path)
                    elif found.st_mode & _RUN:
                        with beneath.file(name, inner) as file:
                            os.fchmod(file, stat.S_IMODE(found.st_mode) & ~_RUN)
    if sizes:
        raise StepCrashed(f"the step's process named what it did not make: {next(iter(sizes))}")


def _names(held: int) -> list[str]:
    place = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=held)
    try:
        return os.listdir(place)  # noqa: PTH208  # a descriptor
    finally:
        os.close(place)


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
            storage_files.write_once(folder.result(result.step, result.run), result.to_json())
    except FileExistsError:
        if published:
            storage_files.remove(published)
        return _standing(folder, result)
    except FileNotFoundError:
        # Somebody took us for dead and swept our scratch folder: they do that only once the step is committed.
        return _standing(folder, result)
    finally:
        if scratch:
            storage_files.remove(scratch.path)
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
