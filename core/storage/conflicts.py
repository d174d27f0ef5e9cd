"""What a publish may replace and remove: nothing that the job reads, nothing that isn't its own.

Asked twice: before any work, of the names that can be foretold, and when all is ready to be renamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from core.errors import WouldReplace
from core.model import Job, Step, StepResult
from core.storage import inputs, ledger
from core.storage.inputs import FileId
from core.storage.ledger import Ledger, LedgerEntry

#: Prefix of the folder, inside the one that is published into, where new files wait for their renames.
STAGE_PREFIX = ".amphipod-"

#: So begins why a file is in the way that only its person may give up.
_CORRECTED = "was corrected by a person"

#: Names in a message; the rest are counted.
_NAMED = 3


@dataclass(frozen=True)
class Claim:
    """A job's claim to a folder."""

    root: Path
    job: Job
    output: Path
    #: Options of its steps, for the files that they name.
    options: Sequence[Mapping[str, Any]]
    #: When a person corrected those of its files that are corrections; None before there are files.
    corrected_at: Mapping[str, datetime] | None = None

    @cached_property
    def inputs(self) -> Mapping[FileId, Path]:
        return inputs.of(self.job, self.options)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        return ledger.sources(self.root, self.job)

    @cached_property
    def ledger(self) -> Ledger:
        return ledger.read(self.root, self.output)

    def owns(self, entry: LedgerEntry, step: str) -> bool:
        """Tell whether this job's `step` may remove what an entry has: the same step of the same source made it."""
        return entry.step == step and (self.job.replace or entry.sources == self.sources)

    def check_inputs(self, names: Iterable[str]) -> None:
        """Refuse to touch what the job reads.

        Raises:
            WouldReplace
        """
        read = [name for name in names if inputs.file_id(self.output / name) in self.inputs]
        if read:
            raise WouldReplace(
                f"{self._listed(read)}: would be replaced by this job, which reads it",
                remedy="publish into another folder",
                path=str(self.output / read[0]),
            )

    def check(self, names: Iterable[str]) -> None:
        """Refuse to replace what is somebody else's, or what nobody of us has published.

        Raises:
            WouldReplace
        """
        obstacles: dict[str, list[str]] = {}
        for name in names:
            if why := self._obstacle(name):
                obstacles.setdefault(why, []).append(name)
        if obstacles:
            words = "; ".join(f"{self._listed(found)}: {why}" for why, found in obstacles.items())
            first = next(iter(obstacles.values()))[0]
            remedy = "publish into another folder" + ("" if self.job.replace else ", or --replace")
            if all(why.startswith(_CORRECTED) for why in obstacles):
                remedy = "remove them to have them anew, or --replace, which keeps them"
            raise WouldReplace(words, remedy=remedy, path=str(self.output / first))

    def _obstacle(self, name: str) -> str | None:
        path = self.output / name
        if path.is_dir() and not path.is_symlink():
            return "is a folder"
        if not (path.exists() or path.is_symlink()):
            return None
        entry = self.ledger.owner(name)
        if self.job.replace:
            corrected = self.corrected(name) if self.corrected_at is not None else None
            return _corrected_words(corrected) if corrected else None
        if entry is None:
            return "is there already, and no job has published it"
        if entry.sources != self.sources:
            return f"is of another source, {', '.join(entry.sources)} (job {entry.job})"
        if entry.corrected_at and entry.job != self.job.id:
            return _corrected_words(entry)
        if not entry.files[name].is_of(path):
            return f"has been changed since job {entry.job} published it"
        return None

    def corrected(self, name: str) -> LedgerEntry | None:
        """Return the entry of a file of this source that a person has corrected later than ours, for another job."""
        path, entry = self.output / name, self.ledger.owner(name)
        if not entry or not entry.corrected_at or entry.job == self.job.id or entry.sources != self.sources:
            return None
        ours = (self.corrected_at or {}).get(name)
        is_ours = ours is not None and ours >= entry.corrected_at
        return entry if path.is_file() and not path.is_symlink() and not is_ours else None

    def _listed(self, names: Sequence[str]) -> str:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f"{self.output / names[0]}{''.join(f', {name}' for name in names[1:_NAMED])}{more}"

    def to_remove(self, made: Mapping[str, str]) -> tuple[str, ...]:
        """Return what an earlier job has published here that this one doesn't make again; changed files stay.

        :param made: names that are published now, and their steps.
        """
        steps = set(made.values())
        return tuple(
            sorted(
                name
                for entry in self.ledger.entries
                if any(self.owns(entry, step) for step in steps)
                and (not entry.corrected_at or entry.job == self.job.id or entry.sources != self.sources)
                for name, mark in entry.files.items()
                if name not in made and mark.is_of(self.output / name)
            )
        )


def _corrected_words(entry: LedgerEntry) -> str:
    return f"{_CORRECTED} on {entry.corrected_at:%Y-%m-%d} (job {entry.job})"


def claim(root: Path, job: Job, results: Sequence[StepResult]) -> Claim:
    """Return the claim of a job whose results are to be published."""
    assert job.output is not None
    corrected = {one.path: result.corrected_at for result in results if result.corrected_at for one in result.artifacts}
    return Claim(root, job, job.output, [result.options for result in results], corrected)


def check_place(root: Path, job: Job, target: Path) -> None:
    """Refuse to put a file in the place of one that no earlier job of the same source has put there.

    Raises:
        WouldReplace
    """
    if target.stem == job.id or not (target.exists() or target.is_symlink()):
        return  # what is named after a job is its own
    if inputs.file_id(target) in inputs.of(job, ()):
        remedy = "let it be made elsewhere"
        raise WouldReplace(f"{target}: would be replaced by this job, which reads it", remedy=remedy, path=str(target))
    entry = ledger.read(root, target).owner(target.name)
    if entry is None or entry.sources != ledger.sources(root, job) or not entry.files[target.name].is_of(target):
        words = f"{target}: is there already, and is not of this job's making"
        raise WouldReplace(words, remedy="move it away, or let it be made elsewhere", path=str(target))


#: Patterns of the names that a step's engine may write; None when it doesn't say.
Names = Mapping[Step, Sequence[str] | None]


def foresee(root: Path, job: Job, names: Names, options: Sequence[Mapping[str, Any]]) -> None:
    """Refuse before any work what can be foretold to end in a refusal when it is published.

    :param names: of the steps that are asked about.
    :param options: what those were planned with.

    Raises:
        WouldReplace
    """
    for target in job.placed:
        check_place(root, job, target)
    if job.output is None:
        return
    if job.output.is_relative_to((root / "jobs").resolve()):
        words = f"{job.output}: lies among the jobs' own files, which are swept"
        raise WouldReplace(words, remedy="publish into another folder", path=str(job.output))
    if not job.output.is_dir():
        return
    ours = Claim(root, job, job.output, options)
    there = [path.name for path in sorted(job.output.iterdir()) if not path.name.startswith(STAGE_PREFIX)]
    foretold = [
        name for name in there if any(fnmatchcase(name, one) for given in names.values() for one in given or ())
    ]
    ours.check_inputs(foretold)
    unknown = {step for step, given in names.items() if given is None}
    foretold += [
        name for entry in ours.ledger.entries if entry.step in unknown for name in entry.files if name not in foretold
    ]
    try:
        ours.check(foretold)
    except WouldReplace:
        is_published_into = any(job.output.glob(f"{STAGE_PREFIX}*")) or ledger.read(root, job.output) != ours.ledger
        if not is_published_into:  # else what lies there is half somebody's, and the publish will tell
            raise
