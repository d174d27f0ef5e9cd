"""Where statements come in by HTTP: from a player's tracker, and from any system that speaks xAPI.

    uvicorn --factory core.web.statements:application

They then wait in the intake, as those of `core.submit_statements` do.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from core import settings
from core.errors import AmphipodError, Transient
from core.model import Statement
from core.plugin_host.manager import Manager
from core.redis import connection
from core.settings import Settings
from core.statements import submit
from core.web import record_store, tracker
from core.web.http import problems
from core.web.http.headers import ReadableAcrossOrigins, SecurityHeaders
from core.web.http.limits import BodyLimits
from core.web.tracker import refuse

PATH = "/xapi/statements"

_VISITOR = re.compile(r"(?<=[?&]visitor=)[^&\s\"]+")


def application() -> FastAPI:
    """Return an application that serves nothing else."""
    loaded = settings.load()
    app = FastAPI(title="Amphipod: statements", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(router(loaded, Manager(loaded)))
    problems.install(app, loaded)
    app.add_middleware(BodyLimits, seconds=loaded.web_time_limit)
    app.add_middleware(ReadableAcrossOrigins, path=PATH)
    app.add_middleware(SecurityHeaders)
    return app


def router(loaded: Settings, manager: Manager) -> APIRouter:
    """Return the routes, for an application that serves more.

    Raises:
        BadSettings: no broker is set.
    """
    connection.url(loaded)
    _keep_visitors_out_of_logs()
    routes = APIRouter()
    limits = tracker.Limits(loaded)
    clients = record_store.Clients(loaded)

    @routes.post(PATH, response_model=None)
    async def take(request: Request, visitor: str = "") -> Response:
        """Take statements: a tracker's, without an actor, or those of a system that shows a login, as a store does."""
        # A portal behind Basic auth of its own has its pages' browsers show that login here, too.
        if "authorization" in request.headers and not tracker.is_of_a_page(request, loaded):
            ready = await clients.read(request)
            await run_in_threadpool(_submit, ready, loaded, manager)
            return record_store.answer(JSONResponse([one["id"] for one in ready]))
        origin = tracker.origin(request, loaded)
        said = tracker.parsed(await tracker.body(request), visitor)
        actor = tracker.actor(said.visitor, loaded)
        limits.check(request, said.statements, actor)
        ready = [tracker.completed(one, actor, origin, loaded) for one in said.statements]
        await run_in_threadpool(_submit, ready, loaded, manager)
        return Response(status_code=204, headers={"Access-Control-Allow-Origin": origin, "Vary": "Origin"})

    @routes.put(PATH, response_model=None)
    async def put(request: Request, statementId: str = "") -> Response:  # noqa: N803  # as xAPI spells it
        """Take one statement of a system that shows a login, under the id that it names."""
        ready = await clients.read(request, only=statementId)
        await run_in_threadpool(_submit, ready, loaded, manager)
        return record_store.answer(Response(status_code=204))

    @routes.get("/xapi/about", response_model=None)
    async def about() -> Response:
        return record_store.answer(JSONResponse({"version": list(record_store.VERSIONS)}))

    return routes


def _submit(ready: Sequence[Statement], loaded: Settings, manager: Manager) -> None:
    try:
        for one in ready:
            submit.check(one, submit.to_text(one), loaded)
            if complaint := manager.check_statement(one):
                refuse(400, complaint)
        submit.submit_statements(ready, settings=loaded)
    except Transient:
        refuse(503, "not now", Retry_After="5")
    except AmphipodError as error:  # it is wrong, or a plugin stumbles over it
        refuse(400, str(error))


class _WithoutVisitors(logging.Filter):
    """A word in an address lets whoever reads the log speak for its visitor; our tracker sends it in the body."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_VISITOR.sub("...", one) if isinstance(one, str) else one for one in record.args)
        return True


def _keep_visitors_out_of_logs() -> None:
    log = logging.getLogger("uvicorn.access")
    if not any(isinstance(one, _WithoutVisitors) for one in log.filters):
        log.addFilter(_WithoutVisitors())
