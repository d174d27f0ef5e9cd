"""One process does a job at a time, where no queue says which: a lock on a file in its folder, freed by the kernel."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import JobConflict
from core.storage import files
from core.storage.job_folder import JobFolder


@contextmanager
def held(folder: JobFolder) -> Iterator[None]:
    """Hold a job for the block.

    Raises:
        JobConflict: another process, or another thread of this one, holds it.
    """
    with files.disk_errors(folder.path):
        descriptor = os.open(folder.claim, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.PRIVATE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JobConflict(
                f"another process works on job {folder.id}", remedy="wait for it", job=folder.id
            ) from error
        yield
    finally:
        os.close(descriptor)
