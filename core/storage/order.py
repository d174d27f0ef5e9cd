"""In which order the jobs for one folder were taken: numbered files on the shared file system, no host's clock."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from core.storage import files
from core.storage.job_folder import JobFolder


def take(root: Path, output: Path, job: str) -> int:
    """Return a job's number among those for `output`: the one it has, or the next one.

    The number is a file that nobody else can create; it holds with and without Redis. Numbers of jobs that are gone are
    removed, but for the last, so that none is given twice.
    """
    folder = root / "outputs" / f"{hashlib.sha256(os.fsencode(output.resolve())).hexdigest()[:32]}.order"
    with files.disk_errors(folder):
        files.make_folder(folder)
        while True:
            taken = _taken(folder)
            if found := next((number for number, holder in taken.items() if holder == job), None):
                return found
            last = max(taken, default=0)
            _forget(folder, root, {number: holder for number, holder in taken.items() if number != last})
            with suppress(FileExistsError):  # somebody else was first: look again
                files.write_once(folder / str(last + 1), job)
                return last + 1


def _taken(folder: Path) -> dict[int, str]:
    found = {}
    for path in folder.iterdir():
        if path.name.isdigit():
            with suppress(FileNotFoundError):
                found[int(path.name)] = path.read_text(encoding="ascii")
    return found


def _forget(folder: Path, root: Path, taken: dict[int, str]) -> None:
    for number, holder in taken.items():
        if not JobFolder(root, holder).path.exists():
            (folder / str(number)).unlink(missing_ok=True)
