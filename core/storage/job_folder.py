"""A job's folder: where each of its files lies, and how a job is stored."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from core import validation_messages
from core.errors import BadCall, UnknownJob
from core.model import Job, check_id
from core.storage.files import disk_errors, make_folder, remove, write_once

#: Bytes of a request: each list of jobs, and each step, reads it whole.
LARGEST = 1 << 20


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

    def beside(self, step: str) -> Path:
        """The mark that those who may run beside a step were told."""
        return self.steps / f"beside.{step}"

    def division(self, step: str) -> Path:
        return self.steps / f"division.{step}.json"

    def result(self, step: str, run: int) -> Path:
        return self.steps / f"{step}.{run}.json"

    def correction(self, step: str, number: int) -> Path:
        """A person's corrections of a step's files: the result that stands in its place."""
        return self.steps / f"corrected.{step}.{number}.json"

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
        BadCall: no file can hold it (JSON nested too deep, half of a surrogate pair), or it is too large.
        NotWritable, NoSpace
    """
    try:
        text = job.to_json()
        if len(text) > LARGEST:
            raise ValueError(f"it has {len(text)} bytes, more than {LARGEST}")
        _check_numbers(job)
        Job.model_validate_json(text)  # it nests deeper than we can read, before it does than we can write
    except ValueError as error:
        words = validation_messages.told(error) if isinstance(error, ValidationError) else error
        raise BadCall(f"job {job.id} can't be stored ({words})", job=job.id) from error
    folder = JobFolder(root, job.id)
    with disk_errors(root):
        for path in (folder.path, folder.steps, folder.scratch, folder.out):
            make_folder(path)
        try:
            write_once(folder.request, text)
        except FileExistsError:
            return folder, False
    return folder, True


def _check_numbers(job: Job) -> None:
    """Refuse numbers that JSON has not: they would be stored as nothing at all.

    Raises:
        ValueError
    """
    waiting: list[object] = [job.options, job.attributes, *(one.body for one in job.callbacks)]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
        elif isinstance(one, float) and not math.isfinite(one):
            raise ValueError(f"{one} is no number that JSON has")


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
