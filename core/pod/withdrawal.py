"""Taking back what a job has published, when the portal no longer has what it was published for."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from pathlib import Path

from core.storage import beneath, ledger, publish
from core.storage.files import disk_errors
from core.storage.job_folder import JobFolder


def withdraw(folder: JobFolder, output: Path, roots: Sequence[Path] = ()) -> list[str]:
    """Remove what a job has published into a folder (or as a file), unless somebody has changed or replaced it since.

    The folder goes too when nothing else is in it. Returns the names that were removed.

    Raises:
        NotWritable
        UnsafePath: a link leads out of the roots, or out of the folder.
    """
    if not output.exists():
        return []
    removed = []
    base = output if output.is_dir() else output.parent
    with disk_errors(output), beneath.folder(base, roots) as place, publish.folder_lock(base):
        known = ledger.read(folder.root, output)
        ours = {name: mark for entry in known.entries if entry.job == folder.id for name, mark in entry.files.items()}
        for name, mark in ours.items():
            if mark.is_of(base / name):
                with contextlib.suppress(FileNotFoundError), beneath.parent(place, name) as (inner, last):
                    os.unlink(last, dir_fd=inner)
                removed.append(name)
        ledger.write(folder.root, known.updated((), ours))
        if base == output:
            for subfolder in sorted({str(Path(name).parent) for name in ours} - {"."}, reverse=True):
                _remove_empty(subfolder, place)
    if base == output:
        with contextlib.suppress(FileNotFoundError), beneath.folder(output.parent, roots) as above:
            _remove_empty(output.name, above)
    return removed


def _remove_empty(name: str, held: int) -> None:
    try:
        with contextlib.suppress(FileNotFoundError), beneath.parent(held, name) as (place, last):
            os.rmdir(last, dir_fd=place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
