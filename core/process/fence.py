"""When a child process shuts itself off: at its start, before each job, once a source's length is known."""

from __future__ import annotations

import base64
import errno
import os
import resource
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import structlog

from core.errors import Transient
from core.model import Job
from core.process import confinement
from core.process.messages import StepRequest
from core.settings import Settings
from core.storage import beneath, inputs
from core.storage.job_folder import JobFolder
from core.storage.scratch_folder import Scratch

#: Seconds that count beside a source's own: loading a model takes as long for a short one.
_MORE_SECONDS = 10.0

_log = structlog.get_logger()


def begin(request: StepRequest) -> None:
    """Bound the whole process, for this job and for those that it is kept for.

    Raises:
        Transient: the kernel refuses what it has.
    """
    settings = request.settings
    if settings.confinement == "off":
        if limit := settings.step_memory_limit:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        return
    confinement.limit(settings.step_memory_limit, settings.step_file_limit)
    try:
        confinement.shut(base64.b64decode(request.filter))
    except OSError as error:
        raise _unconfined(request, error) from error
    if request.kept and settings.media_roots:
        # Whoever broke out of a job's thread would still meet this.
        read = (*settings.media_roots, request.root, *request.access.read, *inputs.named(request.plan.options))
        _restrict(request, read, (request.root, *request.access.write))


def shut(request: StepRequest, job: Job) -> None:
    """Leave this thread what the job names, its folder to read, and to write the two folders that a step is handed.

    Raises:
        UnsafePath: a source leads out of the media roots now, whatever it did when it was submitted.
        Transient: the kernel refuses what it has.
    """
    scratch = Scratch(request.scratch, request.step, request.attempt)
    folder = JobFolder(request.root, request.job)
    kept = folder.scratch / f"{request.step}.kept"
    kept.mkdir(exist_ok=True)
    tempfile.tempdir = str(scratch.work)
    if request.settings.confinement == "off":
        return
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))  # that of the job before went by another source
    roots = request.settings.media_roots
    found = [_opened(source.path, (*roots, request.root) if roots else ()) for source in job.sources]
    asked = inputs.strangers(job, roots)
    found += [_opened(path, roots if path in asked else ()) for path in inputs.named(request.plan.options)]
    sources = [one for one in found if one is not None]
    _restrict(
        request,
        [*sources, folder.path, *request.access.read],
        [scratch.work, scratch.output, kept, *request.access.write],
    )
    for one in sources:
        os.close(one)


def limit_cpu(settings: Settings, seconds: float) -> None:
    """Bound what the rest of this job may compute, by the length of its source in seconds."""
    if settings.step_cpu_limit and settings.confinement != "off":
        used = resource.getrusage(resource.RUSAGE_SELF)
        wanted = int(used.ru_utime + used.ru_stime + (seconds + _MORE_SECONDS) * settings.step_cpu_limit) + 1
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def _opened(path: Path, roots: tuple[Path, ...]) -> int | None:
    """Return a descriptor of an input; None where it isn't there, which whoever reads it says better."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        return beneath.opened(path, roots)
    return None


def _restrict(request: StepRequest, read: Iterable[Path | int], write: Iterable[Path]) -> None:
    try:
        confinement.restrict(read, write, programs=request.access.programs)
    except ImportError as error:
        _log.debug("files are not shut off", reason=str(error))
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP):  # else this kernel has no Landlock, which doctor tells
            raise _unconfined(request, error) from error
        _log.debug("files are not shut off", reason=error.strerror)


def _unconfined(request: StepRequest, error: OSError) -> Transient:
    return Transient(f"this process could not be shut off ({error})", step=request.step)
