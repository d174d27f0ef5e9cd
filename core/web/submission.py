"""What a caller of the API asks for, as a job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from core.errors import BadCall, EngineMissing
from core.http import strangers
from core.model import Callback, Download, Job, Priority, Source, Step, check_correlation_id
from core.pipeline import lifecycle, planning
from core.retention import uploads
from core.retention.uploads import UploadFolder
from core.storage import files, inputs
from core.storage.job_folder import JobFolder
from core.web.services import Services


class Origin(BaseModel):
    """Where a film comes from: exactly one of the three."""

    model_config = ConfigDict(extra="forbid")

    path: str | None = Field(None, max_length=4096, description="Below a media root, or relative to one.")
    url: str | None = Field(
        None, max_length=4096, description="Is fetched when the job's turn comes; redirects are not followed."
    )
    upload: str | None = Field(None, max_length=64, description="Id of a complete upload.")

    @model_validator(mode="after")
    def _one(self) -> Origin:
        if sum(one is not None for one in (self.path, self.url, self.upload)) != 1:
            raise ValueError("name one of path, url and upload")
        return self


class Submission(BaseModel):
    """A job to be."""

    model_config = ConfigDict(extra="forbid")

    source: Origin
    presentation: Origin | None = Field(None, description="A second take, of the slides; one film is made of both.")
    steps: tuple[Step, ...] | None = Field(
        None,
        min_length=1,
        max_length=20,
        description="By default encode, and all that this host can do where it works itself.",
    )
    output: str | None = Field(
        None, max_length=4096, description="Folder below a media root; by default the job's own."
    )
    replace: bool = Field(
        default=False,
        description="Replace files there that are another lecture's; what a person corrected for this one stays.",
    )
    language: str = Field("auto", max_length=35, description="What is spoken, a tag of BCP 47, or auto.")
    options: Mapping[str, Any] = Field({}, description="For the steps that know them; see /api/v1/steps.")
    engines: Mapping[Step, str] = Field({}, description="The plugin that is to do a step.")
    priority: Priority = "normal"
    title: str | None = Field(None, max_length=1000)
    attributes: Mapping[str, Any] = Field({}, description="Your own words; carried along.")
    notify: tuple[Annotated[str, Field(pattern=r"^https?://", max_length=4096)], ...] = Field(
        (), max_length=10, description="Addresses that get a signed POST at the job's end."
    )
    correlation_id: Annotated[str, AfterValidator(check_correlation_id)] | None = None


class _Takes:
    """Collects what the takes of a job need."""

    def __init__(self, services: Services, job: str) -> None:
        self._services = services
        self.folder = JobFolder(services.settings.jobs_root, job)
        self.downloads: list[Download] = []
        self.uploads: list[UploadFolder] = []

    def add(self, take: Origin, role: Literal["lecture", "presenter", "presentation"]) -> Source:
        return Source(path=self._path(take), role=role)

    def _path(self, take: Origin) -> Path:
        settings = self._services.settings
        if take.path is not None:
            return inside(self._services, take.path, must_exist=not self._services.has_broker)
        if take.upload is not None:
            place = uploads.folder(settings, take.upload)
            self.uploads.append(place)
            return place.film().resolve()
        assert take.url is not None
        strangers.check_source(take.url, settings)
        last = PurePosixPath(unquote(urlsplit(take.url).path)).name
        name = uploads.safe_name(last) if last.strip("./") else "film"
        # A folder each, so that two of one name don't meet.
        path = self.folder.downloads.absolute() / str(len(self.downloads)) / name
        self.downloads.append(Download(path=path, url=take.url, guarded=True))
        return path


def inside(services: Services, text: str, *, must_exist: bool = False) -> Path:
    """Return a path below a media root.

    Raises:
        UnsafePath: it leads out of them.
        BadCall: there are none, or there is no such file.
    """
    roots = services.settings.media_roots
    if not roots:
        raise BadCall("no paths are taken here", remedy="set AMPHIPOD_MEDIA_ROOTS, or upload the film")
    path = files.resolve(Path(text), roots)
    if must_exist and not path.is_file():
        raise BadCall(f"{path}: no such file", remedy="name one below a media root, or upload it")
    return path


def submit(services: Services, asked: Submission, key: str | None) -> str:
    """Store a job, to be done when its turn comes, and return its id.

    With a key the same request, however often it is made, is one job.

    Raises:
        BadCall, UnsafePath, JobConflict, WouldReplace, OutOfReach
    """
    steps = _steps(services, asked)
    job_id = lifecycle.id_for_key(key) if key else lifecycle.new_id()
    sources = _Takes(services, job_id)
    takes = [sources.add(asked.source, "presenter" if asked.presentation else "lecture")]
    if asked.presentation:
        takes.append(sources.add(asked.presentation, "presentation"))
    try:
        job = Job(
            id=job_id,
            sources=tuple(takes),
            steps=steps,
            declared=planning.declared(services.manager, steps),
            output=inside(services, asked.output) if asked.output else None,
            replace=asked.replace,
            language=asked.language,
            options=asked.options,
            engines=asked.engines,
            priority=asked.priority,
            attributes={**asked.attributes, **({"title": asked.title} if asked.title else {})},
            downloads=tuple(sources.downloads),
            callbacks=tuple(Callback(kind="webhook", url=url, guarded=True) for url in asked.notify),
            correlation_id=asked.correlation_id,
            guarded=True,
        )
    except RecursionError as error:
        raise BadCall("the request is nested too deep") from error
    inputs.strangers(job, services.settings.media_roots)
    for url in asked.notify:
        strangers.check_receiver(url, services.settings)
    if asked.notify and not services.has_broker and services.settings.webhook_secret is None:
        raise BadCall("nobody can be told: a webhook can't be signed", remedy="set AMPHIPOD_WEBHOOK_SECRET")
    missing: Mapping[Step, EngineMissing] = {}
    if not asked.steps and not services.has_broker:
        able, missing = planning.able(services.host, job)
        job = job.model_copy(update={"steps": able})
    planning.check(services.host, job, elsewhere=services.has_broker)
    for place in sources.uploads:
        uploads.hold(place, job.id)
    services.work.submit(job)
    for step, reason in missing.items():
        lifecycle.tell(sources.folder, "left out", level="warning", step=step, reason=str(reason))
    return job.id


def _steps(services: Services, asked: Submission) -> tuple[Step, ...]:
    """Return the steps in the order in which a job does them."""
    manager = services.manager
    if asked.steps:
        return planning.known_steps(manager, asked.steps)
    if services.has_broker:
        return ("compose", "encode") if asked.presentation else ("encode",)
    missing = planning.missing_steps(manager)
    wanted = planning.default_steps(manager, composed=asked.presentation is not None)
    found = tuple(step for step in wanted if step not in missing)
    if not found:
        raise BadCall("no step is installed here", remedy="pip install 'amphipod[all]'")
    return found
