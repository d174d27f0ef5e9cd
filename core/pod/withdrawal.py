"""Taking back what a job has published, when the portal no longer has what it was published for."""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path

from core.storage import ledger, publish
from core.storage.files import disk_errors
from core.storage.job_folder import JobFolder


def withdraw(folder: JobFolder, output: Path) -> list[str]:
    """Remove what a job has published into a folder (or as a file), unless somebody has changed or replaced it since.

    The folder goes too when nothing else is in it. Returns the names that were removed.

    Raises:
        NotWritable
    """
    if not output.exists():
        return []
    removed = []
    base = output if output.is_dir() else output.parent
    with publish.folder_lock(base), disk_errors(output):
        known = ledger.read(folder.root, output)
        ours = {name: mark for entry in known.entries if entry.job == folder.id for name, mark in entry.files.items()}
        for name, mark in ours.items():
            if mark.is_of(base / name):
                (base / name).unlink(missing_ok=True)
                removed.append(name)
        ledger.write(folder.root, known.updated((), ours))
    if base == output:
        for path in (*sorted({(output / name).parent for name in ours} - {output}, reverse=True), output):
            _remove_empty(path)
    return removed


def _remove_empty(path: Path) -> None:
    try:
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
