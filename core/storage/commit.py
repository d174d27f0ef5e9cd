"""Makes a step's result final: by exclusive link, so that of two attempts one counts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from core.errors import HookFailed, StepCrashed
from core.model import Artifact, StepResult
from core.storage import files as storage_files
from core.storage.files import disk_errors
from core.storage.job_folder import JobFolder
from core.storage.scratch_folder import Scratch


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
