"""A person's corrections of a step's files: made ready, recorded once they are published, and kept by later jobs.

What they need on the disk is written before anything is published, so that a full disk, or a kill, leaves the published
files and the record of them in agreement: after a publish nothing is left to do but two renames.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import structlog

from core.model import Artifact, Job, StepResult, now
from core.retention import holdings
from core.storage import beneath, commit, conflicts, files, job_state, publish
from core.storage.job_folder import JobFolder
from core.storage.ledger import Publication

_log = structlog.get_logger()

#: In the folder of a correction: the result that is to stand in the step's place, and the job's manifest with it.
_RECORD, _MANIFEST = ".result.json", ".manifest.json"


def put(folder: JobFolder, before: StepResult, made: Mapping[str, Path], note: str) -> StepResult:
    """Bring a step's files together, the corrected ones and those that stay, and write the record that is due.

    :param made: corrected files, by the names that they have in the step's result.
    """
    place = _place(folder, before.step)
    files.remove(place)  # of an attempt that died
    files.make_folder(place)
    for name, path in made.items():
        _second_name(path, place / name)
    result = _together(folder, before, made, note, place, now())
    whole = job_state.fold(folder)
    steps = {**whole.steps, result.step: job_state.told(result)}
    files.write_replacing(place / _MANIFEST, whole.model_copy(update={"steps": steps}).to_json())
    files.write_replacing(place / _RECORD, result.to_json())
    return result


def record(folder: JobFolder, step: str) -> None:
    """Let what was put stand in the step's place; takes no space on the disk."""
    place, number = _place(folder, step), job_state.corrections(folder, step) + 1
    with suppress(FileNotFoundError):  # done before, by whom a kill has stopped here
        (place / _MANIFEST).replace(folder.manifest)
    (place / _RECORD).rename(folder.correction(step, number))
    if holdings.swept(folder):
        files.remove(place)  # as of all that is published, there is no second copy


def settle(folder: JobFolder, step: str, roots: Sequence[Path] = ()) -> None:
    """Complete and record a correction that was begun to be published; drop one that was not. Hold the job's claim."""
    place, output = _place(folder, step), folder.job().output
    if output is None or not (place / _RECORD).exists() or not _is_published(folder, place):
        files.remove(place)
        return
    try:
        with publish.folder_lock(output):
            publish.complete_interrupted(output, folder.root, roots)
    finally:
        record(folder, step)


def is_left(folder: JobFolder, step: str) -> bool:
    """Tell whether a correction waits to be settled."""
    return _place(folder, step).exists()


def kept(folder: JobFolder, job: Job, results: Sequence[StepResult], roots: Sequence[Path] = ()) -> list[StepResult]:
    """Let a job that replaces what lies in its folder keep what a person has corrected there.

    Returns what is to be published: of a step of which something is kept two results, that and the rest.

    Raises:
        UnsafePath: a link leads out of the roots, or out of the folder.
    """
    if job.output is None or not job.replace or not job.output.is_dir():
        return list(results)
    ours = conflicts.claim(folder.root, job, results)
    with files.disk_errors(folder.path), beneath.folder(job.output, roots) as output:
        return [part for result in results for part in _kept(folder, ours, result, output)]


def _kept(folder: JobFolder, ours: conflicts.Claim, result: StepResult, output: int) -> list[StepResult]:
    found = {one.path: entry for one in result.artifacts if (entry := ours.corrected(one.path))}
    if not found:
        return [result]
    corrected_at = max(entry.corrected_at for entry in found.values() if entry.corrected_at)
    words = (
        f"kept what a person corrected on {corrected_at:%Y-%m-%d} (job {next(iter(found.values())).job}): "
        f"{', '.join(found)}; to have these anew, remove them from {ours.output} and run again"
    )
    place = folder.out / f"{result.step}.kept-{secrets.token_hex(4)}"
    files.make_folder(place)
    for name in found:
        _copy(output, name, place / name)
    whole = _together(folder, result, found, words, place, corrected_at)
    number = job_state.corrections(folder, result.step) + 1
    with suppress(FileExistsError):  # another worker ends this job too, and keeps the same
        files.write_once(folder.correction(result.step, number), whole.to_json())
    _log.warning("corrected files were kept", step=result.step, files=list(found), path=str(ours.output))
    rest = tuple(one for one in result.artifacts if one.path not in found)
    return [
        whole.model_copy(update={"artifacts": _of(whole.artifacts, found)}),
        result.model_copy(update={"artifacts": rest}),
    ]


def _of(artifacts: Sequence[Artifact], names: Collection[str]) -> tuple[Artifact, ...]:
    return tuple(one for one in artifacts if one.path in names)


def _place(folder: JobFolder, step: str) -> Path:
    return folder.out / f"{step}.corrected-{job_state.corrections(folder, step) + 1}"


def _is_published(folder: JobFolder, place: Path) -> bool:
    try:
        begun = Publication.model_validate_json(folder.publication.read_bytes())
    except FileNotFoundError:
        return False
    own = f"{place.relative_to(folder.path)}/"
    return any(file.source.startswith(own) for file in (*begun.earlier, *begun.files))


def _together(
    folder: JobFolder, before: StepResult, made: Collection[str], note: str, place: Path, corrected_at: datetime
) -> StepResult:
    """Give those files of a step that stay a name beside the corrected ones, if the job still has them."""
    measured = {one.path: one for one in commit.measure(_of(before.artifacts, made), place)}
    for one in before.artifacts:
        stays = folder.path / (before.folder or "") / one.path
        if one.path not in made and stays.is_file():
            _second_name(stays, place / one.path)
    return before.model_copy(
        update={
            "artifacts": tuple(measured.get(one.path, one) for one in before.artifacts),
            "folder": str(place.relative_to(folder.path)),
            "notes": (*before.notes, note),
            "corrected_at": corrected_at,
        }
    )


def _second_name(source: Path, target: Path) -> None:
    with beneath.folder(target.parent, make=True) as held:
        beneath.link_or_copy(source, held, target.name)


def _copy(output: int, name: str, target: Path) -> None:
    """Copy a published file, not a link to one: whoever may write there could change what the job has."""
    with beneath.parent(output, name) as (place, last), beneath.file(last, place) as found:
        target.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.dup(found), "rb") as reader, target.open("xb") as writer:
            shutil.copyfileobj(reader, writer)
