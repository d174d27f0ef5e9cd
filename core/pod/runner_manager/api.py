"""The API of runner managers, which newer Esup-Pods call: each task becomes a job on our queue, never a 503."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Request, Response
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from core import jobs
from core.callbacks.delivery import CORRELATION_HEADER
from core.errors import BadCall, JobConflict, OutOfReach, UnknownJob
from core.hookspecs import NAME
from core.model import CORRELATION_ID, Job, Manifest, State
from core.pod.runner_manager.result import File, files
from core.pod.runner_manager.tasks import RunnerTask, job_of
from core.retention import holdings
from core.settings import Settings
from core.storage import job_state
from core.storage.job_folder import JobFolder

_BEARER = HTTPBearer(auto_error=False)

TaskId = Annotated[str, Path(pattern=r"^run-[0-9a-f]{32}$")]


class TaskState(BaseModel):
    task_id: str
    #: Never "pending": to Pod that is a task which nobody has taken, and it would send it again.
    status: Literal["running", "completed", "failed"]
    error_message: str = ""


class ResultFile(BaseModel):
    file_path: str
    sha256: str


class Result(BaseModel):
    task_id: str
    files: list[ResultFile]


class Words(BaseModel):
    detail: str


_REFUSALS: dict[int | str, dict[str, Any]] = {401: {"model": Words}, 404: {"model": Words}}


def router(settings: Settings) -> APIRouter:
    """Return the routes; without a token in the settings every call is refused."""

    class TokenFirst(APIRoute):
        """Checks the token before FastAPI reads the body, which it does before any dependency."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def checked(request: Request) -> Response:
                _check_token(await _BEARER(request), settings)
                return await handle(request)

            return checked

    routes = APIRouter()
    # The dependency describes it.
    tasks = APIRouter(prefix="/task", route_class=TokenFirst, dependencies=[Depends(_BEARER)], responses=_REFUSALS)

    @tasks.post("/execute", responses={400: {"model": Words}, 503: {"model": Words}})
    def execute(
        task: RunnerTask,
        correlation_id: Annotated[str, Header(alias=CORRELATION_HEADER)] = "",
    ) -> TaskState:
        """Take a task; once this has answered it is stored and on its queue."""
        with _refusals():
            job = _correlated(job_of(task, settings), correlation_id)
            jobs.send(job, settings)
        return TaskState(task_id=job.id, status="running")

    @tasks.get("/status/{task_id}")
    def status(task_id: TaskId) -> TaskState:
        return _state(_fold(settings, task_id))

    @tasks.post("/stop/{task_id}", responses={409: {"model": Words}, 503: {"model": Words}})
    def stop(task_id: TaskId) -> TaskState:
        """End a task, waiting or running."""
        _fold(settings, task_id)
        with _refusals():
            jobs.cancel(task_id, settings=settings)
        return _state(_fold(settings, task_id))

    @tasks.get("/result/{task_id}", responses={409: {"model": Words}})
    def result(task_id: TaskId) -> Result:
        """List the files that can be fetched."""
        found = [ResultFile(file_path=one.name, sha256=one.sha256) for one in _files(settings, task_id)]
        return Result(task_id=task_id, files=found)

    @tasks.get(
        "/result/{task_id}/file/{file_path:path}", response_class=FileResponse, responses={409: {"model": Words}}
    )
    def file(task_id: TaskId, file_path: str) -> Response:
        return _response(_files(settings, task_id), file_path)

    @routes.get("/api/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @routes.get("/api/version")
    def our_version() -> dict[str, str]:
        return {"version": version(NAME)}

    routes.include_router(tasks)
    return routes


def _check_token(given: HTTPAuthorizationCredentials | None, settings: Settings) -> None:
    wanted = settings.runner_token.get_secret_value() if settings.runner_token else ""
    if given is None or not wanted or not hmac.compare_digest(given.credentials.encode(), wanted.encode()):
        raise HTTPException(401, "the bearer token is not AMPHIPOD_RUNNER_TOKEN", {"WWW-Authenticate": "Bearer"})


def _correlated(job: Job, correlation_id: str) -> Job:
    """Return the job with its caller's id; a proxy may have written anything there, and no task is lost for it."""
    return (
        job.model_copy(update={"correlation_id": correlation_id}) if CORRELATION_ID.fullmatch(correlation_id) else job
    )


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn our errors into HTTP's."""
    try:
        yield
    except JobConflict as error:
        raise HTTPException(409, str(error)) from error
    except BadCall as error:
        raise HTTPException(400, str(error)) from error
    except OutOfReach as error:
        raise HTTPException(503, str(error)) from error


def _response(found: list[File], name: str) -> Response:
    one = next((one for one in found if one.name == name), None)
    if one is None or (one.path and not one.path.exists()):
        raise HTTPException(404, f"the result has no file {name}")
    if one.path:
        return FileResponse(one.path, media_type=one.media_type)
    return Response(one.text, media_type=one.media_type)


def _fold(settings: Settings, task: str) -> Manifest:
    try:
        return job_state.fold(JobFolder(settings.jobs_root, task))
    except UnknownJob as error:
        raise HTTPException(404, f"no task {task}") from error


def _state(whole: Manifest) -> TaskState:
    if not whole.state.is_final:
        return TaskState(task_id=whole.job.id, status="running")
    if whole.state is State.SUCCEEDED:
        return TaskState(task_id=whole.job.id, status="completed")
    return TaskState(task_id=whole.job.id, status="failed", error_message=whole.reason or str(whole.state))


def _files(settings: Settings, task: str) -> list[File]:
    whole = _fold(settings, task)
    if whole.state is not State.SUCCEEDED:
        raise HTTPException(409, f"task {task} is {_state(whole).status}")
    folder = JobFolder(settings.jobs_root, task)
    if gone := holdings.swept(folder):
        raise HTTPException(410, f"the files of task {task} were removed on {gone.at:%Y-%m-%d}")
    return files(folder, whole)
