"""Which job published, or begins to, which file into a folder: `<root>/outputs/<digest of the folder's path>.json`."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

import structlog
from pydantic import ValidationError

from core import validation_messages
from core.model import FilePath, Job, Model, path_text
from core.storage import files as storage_files

#: Seconds by which a file's time may differ from what was noted: file systems round, FAT to two seconds.
_SAME_TIME = 2.0

_log = structlog.get_logger()


class Mark(Model):
    """By what a published file is known again, as long as nobody has changed it."""

    size: int
    #: Seconds since 1970.
    modified_at: float

    def is_of(self, path: Path) -> bool:
        try:
            found = path.lstat()
        except OSError:
            return False
        same = found.st_size == self.size and abs(found.st_mtime - self.modified_at) <= _SAME_TIME
        return stat.S_ISREG(found.st_mode) and same


class LedgerEntry(Model):
    """What a step of a job has published and nobody has replaced since."""

    job: str
    created_at: datetime
    #: Its place among the jobs for this folder (core/storage/order.py).
    number: int = 0
    step: str
    #: What it was made of: real paths.
    sources: tuple[str, ...]
    files: Mapping[str, Mark]
    #: A person has corrected them: no other job replaces them unasked.
    corrected_at: datetime | None = None


class Ledger(Model):
    """Of one folder."""

    output: FilePath
    entries: tuple[LedgerEntry, ...] = ()

    def owner(self, name: str) -> LedgerEntry | None:
        """Return the entry that a file belongs to."""
        return next((entry for entry in self.entries if name in entry.files), None)

    def updated(self, new: Iterable[LedgerEntry], removed: Iterable[str]) -> Ledger:
        """Return the ledger after a publish: a name belongs to who wrote it last."""
        new = tuple(new)
        gone = {*removed, *(name for entry in new for name in entry.files)}
        kept = (
            entry.model_copy(update={"files": {name: mark for name, mark in entry.files.items() if name not in gone}})
            for entry in self.entries
        )
        return Ledger(output=self.output, entries=(*(entry for entry in kept if entry.files), *new))


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


def _path(root: Path, output: Path) -> Path:
    return root / "outputs" / f"{hashlib.sha256(os.fsencode(output.resolve())).hexdigest()[:32]}.json"


def read(root: Path, output: Path) -> Ledger:
    """Return what is known of a folder; what an unreadable ledger told is nobody's, so it is never replaced unasked."""
    path = _path(root, output)
    try:
        return Ledger.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        pass
    except ValidationError as error:
        _log.warning(
            "ledger can't be read; its files count as nobody's", path=str(path), reason=validation_messages.told(error)
        )
    return Ledger(output=output)


def write(root: Path, ledger: Ledger) -> None:
    path = _path(root, ledger.output)
    storage_files.make_folder(path.parent, parents=False)
    storage_files.write_replacing(path, ledger.to_json())


def sources(root: Path, job: Job) -> tuple[str, ...]:
    """Return what a job is made of: the real paths of its sources, or of the sources of one that we published."""
    found: list[str] = []
    for source in job.sources:
        path = Path(os.path.realpath(source.path))
        entry = read(root, path.parent).owner(path.name)
        found.extend(entry.sources if entry and entry.files[path.name].is_of(path) else (path_text(path),))
    return tuple(dict.fromkeys(found))
