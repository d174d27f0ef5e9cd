"""A person's corrections of what a step has made: they stand in its place, there and where it was published."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from core import settings as settings_module
from core.errors import BadCall, JobConflict
from core.model import FilePath, Job, Manifest, Model, State, Step, StepResult, path_text
from core.pipeline import corrections
from core.settings import Settings
from core.storage import claim, files, job_state, ledger, permissions, publish
from core.storage.job_folder import JobFolder


class Correctable(Model):
    """A step that has succeeded, of a job that is over, and where its files are."""

    manifest: Manifest
    result: StepResult
    #: Of each file.
    places: Mapping[str, FilePath]


def correctable(job: str | Path, step: Step, *, settings: Settings | None = None) -> Correctable:
    """Look up what may be corrected.

    :param job: an id, or a folder that a job has published into.

    Raises:
        UnknownJob
        BadCall: no job has published what this step makes into that folder, or several have.
        JobConflict: the job is not over, has no such result, or somebody corrects it at this moment.
    """
    settings = settings or settings_module.load()
    known = _publisher(settings.jobs_root, job, step) if isinstance(job, Path) else job
    folder = JobFolder(settings.jobs_root, known)
    if corrections.is_left(folder, step):
        with claim.held(folder), files.disk_errors(folder.path):
            corrections.settle(folder, step, settings.media_roots)
    whole = job_state.fold(folder)
    if not whole.state.is_final:
        raise JobConflict(f"job {known} is {whole.state}", remedy="wait for its end", job=known)
    result = job_state.result(folder, step, whole.run)
    if result is None or result.state is not State.SUCCEEDED:
        raise JobConflict(f"job {known} has no files of {step} to correct", remedy="see `amphipod show`", job=known)
    home = whole.published_in or folder.path / (result.folder or "")
    places = {artifact.path: home / artifact.path for artifact in result.artifacts}
    return Correctable(manifest=whole, result=result, places=places)


def _publisher(root: Path, output: Path, step: Step) -> str:
    jobs = {entry.job for entry in ledger.read(root, output).entries if entry.step == step}
    if len(jobs) != 1:
        words = f"{output}: {len(jobs) or 'no'} jobs have published files of {step} here"
        raise BadCall(words, remedy="name the job", path=path_text(output))
    return jobs.pop()


def correct(
    found: Correctable, made: Collection[Path], note: str, *, replace: bool = False, settings: Settings | None = None
) -> Manifest:
    """Put files in the place of those of their names, whole or not at all, and write the manifest anew.

    :param made: files, each called like one of the step's.
    :param note: for the manifest, after the step's own notes.
    :param replace: also where somebody has changed the published files since.

    Raises:
        WouldReplace, UnsafePath: as a publish does; nothing has changed.
        JobConflict: a newer job has published there, or somebody else corrects it at this moment.
    """
    settings = settings or settings_module.load()
    job, before = found.manifest.job, found.result
    folder = JobFolder(settings.jobs_root, job.id)
    with claim.held(folder), files.disk_errors(folder.path):
        if job_state.result(folder, before.step, folder.run()) != before:
            raise JobConflict(f"job {folder.id} has changed meanwhile", remedy="try again", job=folder.id)
        try:
            result = corrections.put(folder, before, {path.name: path for path in made}, note)
            _publish(folder, job, result, {path.name for path in made}, replace=replace, settings=settings)
        except BaseException:
            corrections.settle(folder, before.step, settings.media_roots)
            raise
        corrections.record(folder, before.step)
        return job_state.fold(folder)


def _publish(
    folder: JobFolder, job: Job, result: StepResult, names: Collection[str], *, replace: bool, settings: Settings
) -> None:
    if job.output is None:
        return
    corrected = tuple(one for one in result.artifacts if one.path in names)
    state = publish.publish(
        folder,
        job.model_copy(update={"replace": replace}),
        [result.model_copy(update={"artifacts": corrected})],
        access=permissions.of(settings),
        roots=settings.media_roots,
        complete=False,
    )
    if state is State.SUPERSEDED:
        raise JobConflict(f"a newer job has published into {job.output}", remedy="correct that one", job=job.id)
