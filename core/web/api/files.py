"""What a job has left: its story, and its files with byte ranges."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from core.errors import JobConflict, UnknownJob
from core.jobs.detail import FileDetail, file_path
from core.model import Artifact
from core.storage import beneath, job_state, story
from core.storage.job_folder import JobFolder
from core.web.auth import READ
from core.web.http import ranges
from core.web.http.problems import base
from core.web.services import Services

#: A plugin's page, say, opened by itself, may do nothing in our name.
_POLICY = "sandbox; default-src 'none'; media-src 'self'; style-src 'unsafe-inline'"

#: A page to review captions plays what lies beside it and saves a file. Its scripts run only while it is as the step
#: has committed it, whose own policy names them; they connect to nobody, open no window and send no form.
_REVIEW_POLICY = (
    "sandbox allow-scripts allow-same-origin allow-downloads; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class JobFile(FileDetail):
    """A file, and where it is to be had."""

    url: str


class Story(BaseModel):
    """The log lines that are about a job, the oldest first; each has timestamp, level, event and host at least."""

    lines: tuple[dict[str, Any], ...]


def router(services: Services) -> APIRouter:
    routes = APIRouter(dependencies=READ, tags=["jobs"])

    @routes.get("/jobs/{job}/story")
    def story_(job: str) -> Story:
        """Return what the log says of a job: who took it when, how far it came, what went wrong and why."""
        return Story(lines=tuple(story.Reader(job_folder(services, job)).new()))

    @routes.get("/jobs/{job}/files")
    def files(job: str, request: Request) -> list[JobFile]:
        """List what a job has made."""
        place = f"{base(request)}/jobs/{job}/files"
        found = services.detail(job).files
        return [JobFile(url=f"{place}/{quote(one.name)}", **one.model_dump()) for one in found]

    @routes.head("/jobs/{job}/files/{name:path}", include_in_schema=False)
    @routes.get("/jobs/{job}/files/{name:path}", response_class=Response)
    def file(job: str, name: str, request: Request) -> Response:
        """Return a file that a job has made, or a range of its bytes."""
        return file_response(services, request, job, name)

    return routes


def job_folder(services: Services, job: str) -> JobFolder:
    """Return a job's folder.

    Raises:
        UnknownJob
    """
    folder = JobFolder(services.settings.jobs_root, job)
    folder.job()
    return folder


def file_response(services: Services, request: Request, job: str, name: str) -> Response:
    """Return a file that a result of the job names; nothing else can be reached.

    Raises:
        UnknownJob
        JobConflict: it was removed since.
        UnsafePath: something else lies in its place.
    """
    folder = job_folder(services, job)
    whole = job_state.fold(folder)
    artifact = next((one for one in whole.artifacts if one.path == name), None)
    path = file_path(folder, whole, name)
    if artifact is None or path is None:
        raise UnknownJob(f"job {job} has made no file {name[:200]}", remedy="see its list of files", job=job)
    try:
        film = _opened(path, name, folder, services)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise JobConflict(f"{name} of job {job} is no longer here", remedy="submit it again", job=job) from error
    policy = _REVIEW_POLICY if _is_own_review(artifact, film) else _POLICY
    answer = ranges.respond(request, film, artifact.media_type, tag=artifact.sha256)
    answer.headers["Content-Security-Policy"] = policy
    return answer


def _opened(path: Path, name: str, folder: JobFolder, services: Services) -> BufferedReader:
    """Open a file of a job; in a folder that it was published into, others may have put something else in its place.

    Raises:
        UnsafePath: a link leads elsewhere.
        FileNotFoundError: it is no file, or not there.
    """
    home = path.parents[len(PurePosixPath(name).parts) - 1]
    roots = () if home.is_relative_to(folder.path) else services.settings.media_roots
    with (
        beneath.folder(home, roots) as held,
        beneath.parent(held, name) as (inner, last),
        beneath.file(last, inner) as one,
    ):
        if not stat.S_ISREG(os.fstat(one).st_mode):
            raise FileNotFoundError(errno.ENOENT, "is no file", str(path))
        return os.fdopen(os.dup(one), "rb")


def _is_own_review(artifact: Artifact, file: BufferedReader) -> bool:
    """Tell whether this is a review page that nobody has changed since its step made it."""
    if artifact.kind != "review":
        return False
    found = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return found == artifact.sha256
