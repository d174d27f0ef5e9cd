"""Server-Sent Events: what changes, of one job and of all."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from core.storage.job_folder import JobFolder
from core.web import auth
from core.web.auth import READ
from core.web.services import Services

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def router(services: Services) -> APIRouter:
    routes = APIRouter(dependencies=READ, tags=["events"])

    @routes.get("/events", response_class=StreamingResponse)
    async def events(request: Request) -> StreamingResponse:
        """Tell of all jobs: `job` (a row), `removed`, `service` (an overview), `missed`, `outage`, `back`.

        Nothing is repeated after a break: read the list again, then listen.
        """
        return _stream(services, request, None)

    @routes.get("/jobs/{job}/events", response_class=StreamingResponse)
    async def events_of(job: str, request: Request) -> StreamingResponse:
        """Tell of one job: `job`, `removed`, `missed`, `outage`, `back`."""
        if not services.has_broker:
            JobFolder(services.settings.jobs_root, job).job()
        return _stream(services, request, job)

    return routes


def _stream(services: Services, request: Request, job: str | None) -> StreamingResponse:
    caller = auth.caller(request)

    def admitted() -> bool:
        made = services.tokens.tokens()
        return any(one.id == caller.id and not one.is_expired for one in made) if made else caller.id == "loopback"

    return StreamingResponse(services.hub.stream(job, admitted), headers=_HEADERS, media_type="text/event-stream")
