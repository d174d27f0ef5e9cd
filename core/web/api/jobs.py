"""Jobs: submit, list, one whole; cancel, retry, tell, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from core.job_index import JobPage, JobQuery, JobRow, parse_states
from core.jobs import removal
from core.jobs.detail import JobDetail
from core.model import Step
from core.web import submission
from core.web.auth import MANAGE, READ, SUBMIT
from core.web.http.problems import base
from core.web.services import Services
from core.web.submission import Submission

_Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", max_length=255, description="The same key and request, however often, are one job."
    ),
]


class Submitted(BaseModel):
    id: str


class Again(BaseModel):
    """What is to be tried again."""

    step: Step | None = Field(None, description="Only this one: others that failed stay so.")


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["jobs"])

    @routes.post("/jobs", status_code=201, dependencies=SUBMIT)
    def submit(asked: Submission, request: Request, response: Response, key: _Key = None) -> Submitted:
        """Have a film processed: a path, an address or an upload."""
        job = submission.submit(services, asked, key)
        response.headers["Location"] = f"{base(request)}/jobs/{job}"
        return Submitted(id=job)

    @routes.get("/jobs", dependencies=READ)
    def jobs(
        state: Annotated[Sequence[str], Query(description="waiting, running, ..., done, open; repeat it.")] = (),
        queue: str | None = None,
        step: str | None = None,
        text: Annotated[str, Query(max_length=200, description="Words that must all be found.")] = "",
        since: AwareDatetime | None = None,
        order: Literal["created", "ended"] = "created",
        cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> JobPage:
        """List jobs, newest first."""
        return services.index.page(
            JobQuery(
                states=parse_states(state),
                queue=queue,
                step=step,
                text=text,
                since=since,
                order=order,
                cursor=cursor,
                limit=limit,
            )
        )

    @routes.get("/jobs/{job}", dependencies=READ)
    def job(job: str) -> JobDetail:
        """Tell all about a job."""
        return services.detail(job)

    @routes.delete("/jobs/{job}", status_code=204, dependencies=MANAGE)
    def delete(job: str) -> Response:
        """Remove a job that is over: its files and its record; what it has published elsewhere stays."""
        removal.remove(services.settings, job)
        services.hub.changed(job)
        return Response(status_code=204)

    @routes.post("/jobs/{job}/cancel", dependencies=MANAGE)
    def cancel(job: str) -> JobRow:
        """Stop a job, waiting or running; whoever runs it ends within two seconds."""
        services.work.cancel(job)
        return _row(services, job)

    @routes.post("/jobs/{job}/retry", dependencies=MANAGE)
    def retry(job: str, again: Again | None = None) -> JobRow:
        """Run again what failed or was cancelled, all of it or one step; what succeeded is kept."""
        services.work.retry(job, again.step if again else None)
        return _row(services, job)

    @routes.post("/jobs/{job}/tell", dependencies=MANAGE)
    def tell(job: str) -> JobRow:
        """Tell the portal once more of a job's end, after it was given up."""
        services.work.tell(job)
        return _row(services, job)

    return routes


def _row(services: Services, job: str) -> JobRow:
    services.hub.changed(job)
    if found := services.index.rows([job]):
        return found[0]
    return services.detail(job).row
