"""What a job holds on the disk: how long it is needed, and its removal. The record of a job outlives its files.

Needed is all of a job that is not over, that somebody is still to be told of, or that another job reads; what failed
or was cancelled, as long as it may be tried again; results in the job's own folder, until somebody asks. What a portal
has got (a folder that it named, a file put in place) is its own, and no second copy of it is kept.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Literal

import structlog

from core.errors import AmphipodError, JobConflict, UnknownJob
from core.model import Job, Model, State, StepResult, now
from core.settings import Settings
from core.storage import deliveries, files, job_state, scratch_folder
from core.storage.job_folder import JobFolder
from core.storage.job_state import FINISH

_DAY = 86_400.0
_HOUR = 3_600.0

_log = structlog.get_logger()


class Swept(Model):
    """`swept.json`: the job's files were removed, its record is still there."""

    at: datetime
    why: str

    @property
    def words(self) -> str:
        return f"its files were removed on {self.at:%Y-%m-%d} ({self.why})"


class Removable(Model):
    """What of a job can go."""

    job: str
    #: leftovers: what attempts that died have left. files: all but the record. record: the job's folder.
    #: upload: a film that was sent and that no job needs; `job` is then its id.
    what: Literal["leftovers", "files", "record", "upload"]
    why: str
    paths: tuple[Path, ...]
    #: Bytes that this frees; a file that is published too, by a link, frees none.
    frees: int


def swept(folder: JobFolder) -> Swept | None:
    """Return when and why a job's files were removed, None if they were not."""
    try:
        return Swept.model_validate_json(folder.swept.read_bytes())
    except FileNotFoundError:
        return None


def check_kept(folder: JobFolder, remedy: str) -> None:
    """Refuse what takes a job's files if they are gone.

    Raises:
        JobConflict
    """
    if gone := swept(folder):
        raise JobConflict(f"job {folder.id}: {gone.words}", remedy=remedy, job=folder.id)


def hold(folder: JobFolder, paths: Sequence[Path]) -> None:
    """Have the files of other jobs that this one reads kept until it is over."""
    jobs = (folder.root / "jobs").resolve()
    for path in paths:
        real = Path(os.path.realpath(path))
        if real.is_relative_to(jobs) and (other := real.relative_to(jobs).parts[0]) != folder.id:
            holds = JobFolder(folder.root, other).holds
            with suppress(FileNotFoundError):
                files.make_folder(holds, parents=False)
                (holds / folder.id).touch()


def look(settings: Settings, folder: JobFolder, *, asked: bool = False) -> Removable | None:
    """Tell what of a job can go now; with `asked`, all files of one that is over, whatever its age."""
    try:
        job = folder.job()
    except UnknownJob:
        return _stub(settings, folder)
    finished = job_state.result(folder, FINISH, folder.run())
    if finished is None:
        return _leftovers(folder, settings.retain_scratch_hours * _HOUR)
    if deliveries.due(folder) or is_held(folder):
        return None
    age = (now() - finished.finished_at).total_seconds() / _DAY
    if gone := swept(folder):
        if (now() - gone.at).total_seconds() / _DAY < settings.retain_record_days:
            return None
        return _finding(folder, "record", f"over {settings.retain_record_days:g} days ago", [folder.path])
    days, why = _days(settings, folder, job, finished)
    if asked:
        why = "asked for"
    elif days is None or age < days:
        return _leftovers(folder, settings.retain_scratch_hours * _HOUR)
    return _finding(folder, "files", why, _files(folder))


def _days(settings: Settings, folder: JobFolder, job: Job, finished: StepResult) -> tuple[float | None, str]:
    """Return for how many days after its end a job's files are needed, None for ever, and why no longer."""
    if finished.state is State.FAILED:
        return settings.retain_failed_days, "failed"
    if finished.state is not State.SUCCEEDED:
        return settings.retain_cancelled_days, str(finished.state)
    if deliveries.given_up(folder):
        return settings.retain_failed_days, "its portal was given up"
    if job.output or job.placed:
        return 0.0, "published"
    if job.downloads:
        return settings.retain_done_days, "its portal had time to fetch them"
    return settings.retain_results_days, "results kept long enough"


def _files(folder: JobFolder) -> list[Path]:
    return [path for path in (folder.out, folder.scratch, folder.downloads) if path.exists()]


def _stub(settings: Settings, folder: JobFolder) -> Removable | None:
    """Find a folder without a request: its maker died, or its removal did. A damaged one is left to a person."""
    if folder.request.exists():
        return None
    with suppress(FileNotFoundError):
        if now().timestamp() - folder.path.stat().st_mtime > settings.retain_scratch_hours * _HOUR:
            return _finding(folder, "record", "not a job", [folder.path])
    return None


def is_held(folder: JobFolder) -> bool:
    """Tell whether another job that is not over reads files of this one."""
    for path in folder.holds.glob("*"):
        with suppress(UnknownJob):
            if not job_state.fold(JobFolder(folder.root, path.name)).state.is_final:
                return True
    return False


def _leftovers(folder: JobFolder, older_than: float) -> Removable | None:
    """Find what nobody works on: attempts that died, files that were half fetched, output that no result names."""
    limit = now().timestamp() - older_than
    dead = [one for one in scratch_folder.attempts(folder) if scratch_folder.is_abandoned(one, older_than)]
    found = [path for one in dead for path in (one.work, one.output) if path.exists()]
    found += [path for path in folder.downloads.glob(".*") if path.stat().st_mtime < limit]
    named = {path.name for path in map(Path, _named(folder))}
    found += [path for path in folder.out.glob("*") if path.name not in named and path.stat().st_mtime < limit]
    return _finding(folder, "leftovers", "nobody works on them", found) if found else None


def _named(folder: JobFolder) -> Iterator[str]:
    for path in folder.steps.glob("*.*.json"):
        if not path.name.startswith(("plan.", "division.")):
            result = StepResult.model_validate_json(path.read_bytes())
            if result.folder:
                yield result.folder


def _finding(
    folder: JobFolder, what: Literal["leftovers", "files", "record"], why: str, paths: Sequence[Path]
) -> Removable:
    return Removable(job=folder.id, what=what, why=why, paths=tuple(paths), frees=sum(map(_bytes, paths)))


def _bytes(path: Path) -> int:
    """Return what a file, or a folder however deep, takes of the disk, as far as it can be seen."""
    total, waiting = 0, [str(path)]
    while waiting:
        one = waiting.pop()
        with suppress(OSError):
            found = os.lstat(one)
            if stat.S_ISDIR(found.st_mode):
                waiting += [entry.path for entry in os.scandir(one)]
            total += found.st_blocks * 512 if found.st_nlink == 1 else 0
    return total


def remove(folder: JobFolder, found: Removable) -> None:
    """Remove what was found, unless somebody has begun to need it."""
    if found.what == "leftovers":
        for scratch in scratch_folder.attempts(folder):
            if scratch.work in found.paths or scratch.output in found.paths:
                scratch_folder.empty(scratch, "its process died without a word (killed, or the machine went down)")
        for path in found.paths:
            _remove(path)
        return
    if found.what == "record":
        folder.request.unlink(missing_ok=True)  # from here on there is no such job
        _remove(folder.path)
        return
    run = folder.run()
    with files.disk_errors(folder.path):
        files.write_replacing(folder.swept, Swept(at=now(), why=found.why).to_json())
    if folder.run() != run or job_state.result(folder, FINISH, run) is None:  # somebody tries it again at this moment
        folder.swept.unlink(missing_ok=True)
        return
    for path in found.paths:
        _remove(path)
    _log.info("files removed", job=folder.id, why=found.why, bytes=found.frees)


def _remove(path: Path) -> None:
    if path.is_dir():
        files.remove(path)
    else:
        path.unlink(missing_ok=True)


def release(settings: Settings, folder: JobFolder) -> None:
    """Let go, at a job's end, of files that are its portal's by now."""
    try:
        found = look(settings, folder)
        if found and found.what == "files":
            remove(folder, found)
    except (AmphipodError, OSError) as error:
        _log.warning("files not removed yet; a sweep will", job=folder.id, reason=str(error))
