"""What an Esup-Pod of the runner managers' generation asks for, as a job (`POST /task/execute`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field

from core.errors import BadCall, UnknownJob
from core.http import addresses, strangers
from core.model import Callback, Download, Job, Source
from core.pod import mediapackage
from core.pod.settings_import import bit_rate
from core.settings import Settings
from core.storage import job_state
from core.storage.job_folder import JobFolder


def _web_address(text: str) -> str:
    addresses.host_of(text)
    return text


WebAddress = Annotated[str, AfterValidator(_web_address)]


class RunnerTask(BaseModel):
    """The body of `POST /task/execute`."""

    task_type: Literal["encoding", "studio", "transcription"]
    source_url: WebAddress
    notify_url: WebAddress
    etab_name: str = ""
    app_name: str = ""
    app_version: str = ""
    #: Objects in it are JSON in text.
    parameters: dict[str, Any] = Field(default_factory=dict)


def job_of(task: RunnerTask, settings: Settings) -> Job:
    """Return the job that a task is; the same task, while it is not over, is the same job.

    Raises:
        BadCall: it can't be understood, or names a host that the settings don't allow.
        OutOfReach: a studio's description can't be fetched now.
    """
    for url in (task.source_url, task.notify_url):
        _allowed(url, settings)
    folder = _folder(task, settings)
    downloads = _Downloads(folder, settings)
    common: dict[str, Any] = {
        "id": folder.id,
        "attributes": {
            name: task.parameters[name] for name in ("video_id", "video_slug", "video_title") if name in task.parameters
        },
        "callbacks": (Callback(kind="pod-runner", url=task.notify_url, guarded=True),),
    }
    try:
        asked = _TYPES[task.task_type](task, downloads, settings)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        if isinstance(error, BadCall):
            raise
        raise BadCall(f"parameters of {task.task_type}: {type(error).__name__} {error}") from error
    common["attributes"] |= asked.pop("attributes", {})
    return Job(**common, **asked, downloads=tuple(downloads.wanted))


def _folder(task: RunnerTask, settings: Settings) -> JobFolder:
    """Return the folder of the job: that of the same task if it is not over, else a new one."""
    words = json.dumps(task.model_dump(), sort_keys=True)
    number = 0
    while True:
        folder = JobFolder(settings.jobs_root, f"run-{hashlib.sha256(f'{number} {words}'.encode()).hexdigest()[:32]}")
        try:
            if not job_state.fold(folder).state.is_final:
                return folder
        except UnknownJob:
            return folder
        number += 1


def _allowed(url: str, settings: Settings) -> str:
    """Return an address that may be asked: of the hosts that are named, else a public one, or Esup-Pod's own.

    Raises:
        BadCall
    """
    hosts = settings.runner_hosts or (*settings.fetch_hosts, *addresses.hosts_of(settings.pod_api_url))
    return strangers.check_among(url, hosts, only=bool(settings.runner_hosts), name="AMPHIPOD_RUNNER_HOSTS")


class _Downloads:
    """Names for what has to be fetched."""

    def __init__(self, folder: JobFolder, settings: Settings) -> None:
        self._folder = folder.downloads.absolute()
        self._settings = settings
        self.wanted: list[Download] = []

    def add(self, url: str) -> str:
        name = PurePosixPath(urlsplit(_allowed(url, self._settings)).path).name or "file"
        path = self._folder / f"{len(self.wanted)}-{name[-100:]}"
        self.wanted.append(Download(path=path, url=url, guarded=True))
        return str(path)


def _encoding(task: RunnerTask, downloads: _Downloads, settings: Settings) -> dict[str, Any]:  # noqa: ARG001
    source = Source.model_validate({"path": downloads.add(task.source_url)})
    options, attributes = _renditions(task.parameters)
    if cut := _parsed(task.parameters.get("cut")):
        options |= {"cut_start": _seconds(cut["start"]), "cut_end": _seconds(cut["end"])}
    if dressing := _dressing(_parsed(task.parameters.get("dressing")) or {}, downloads):
        options["dressing"] = dressing
    return {"sources": (source,), "steps": ("encode",), "options": options, "attributes": attributes}


def _transcription(task: RunnerTask, downloads: _Downloads, settings: Settings) -> dict[str, Any]:  # noqa: ARG001
    asked = task.parameters
    spoken = str(asked.get("source_language") or asked.get("language") or "auto")
    options = {"normalize": True} if str(asked.get("normalize", "")).lower() in ("true", "1", "yes") else {}
    source = Source.model_validate({"path": downloads.add(task.source_url)})
    return {"sources": (source,), "steps": ("transcribe",), "language": spoken, "options": options}


def _studio(task: RunnerTask, downloads: _Downloads, settings: Settings) -> dict[str, Any]:
    """The layout is the task's, else the mediapackage's, where Esup-Pod's own studio writes it."""
    package = mediapackage.fetch(task.source_url, settings, partial(_allowed, settings=settings))
    options, attributes = _renditions(task.parameters)
    sources = [Source.model_validate({"path": downloads.add(url), "role": role}) for role, url in package.takes.items()]
    asked = task.parameters.get("presenter")
    options |= {"layout": mediapackage.layout_of(asked) if asked else package.layout, **package.clip}
    return {"sources": tuple(sources), "steps": ("compose", "encode"), "options": options, "attributes": attributes}


_TYPES = {"encoding": _encoding, "studio": _studio, "transcription": _transcription}


def _parsed(value: Any) -> dict[str, Any] | None:
    return dict(json.loads(value)) if isinstance(value, str) and value else value or None


def _seconds(clock: str) -> float:
    """Read "00:01:30"."""
    seconds = 0.0
    for part in str(clock).split(":"):
        seconds = seconds * 60 + float(part)
    return mediapackage.in_range(seconds)


def _renditions(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the ladder as an option, and the names that Pod's table has for its sizes.

    The nominal rate is the cap: Pod writes it into its own master playlist.
    """
    asked = _parsed(parameters.get("rendition"))
    if not asked:
        return {}, {}
    ladder = [
        {
            "height": int(one["resolution"].partition("x")[2]),
            "max_rate": bit_rate(one["video_bitrate"]),
            "audio_rate": bit_rate(one["audio_bitrate"]),
            "mp4": bool(one.get("encode_mp4", True)),
        }
        for one in asked.values()
    ]
    names = {one["resolution"].partition("x")[2]: one["resolution"] for one in asked.values()}
    return {"renditions": ladder}, {"resolutions": names}


def _dressing(asked: Mapping[str, Any], downloads: _Downloads) -> dict[str, Any]:
    dressing: dict[str, Any] = {}
    if asked.get("watermark"):
        dressing["watermark"] = {
            "path": downloads.add(asked["watermark"]),
            "position": asked.get("watermark_position") or "top_right",
            "opacity": int(asked.get("watermark_opacity") or 100),
        }
    for ours in ("opening", "ending"):
        if film := asked.get(f"{ours}_credits_video"):
            dressing[ours] = downloads.add(film)
    return dressing
