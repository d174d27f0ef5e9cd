"""Where a player's tracker sends its statements: the browser says what was done, the server who did it.

    uvicorn --factory core.web.statements:application

The statements then wait in the intake, as those of `core.submit_statements` do.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, NoReturn

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from starlette.concurrency import run_in_threadpool

from core import settings
from core.errors import AmphipodError, BadCall, Transient
from core.model import Statement
from core.model.nesting import DEEPEST, is_too_deep
from core.plugin_host.manager import Manager
from core.redis import connection
from core.settings import Settings
from core.statements import submit, visitor_token
from core.web.http import problems
from core.web.http.headers import SecurityHeaders
from core.web.http.limits import BodyLimits, Buckets

PATH = "/xapi/statements"

#: Bytes of one request.
LARGEST = 128 * 1024

#: Statements of one request.
_MOST = 100

#: How many seconds' worth of statements a browser may send at once.
_BURST = 20

#: What a browser may say. Not who: actor and authority are ours to set.
_FIELDS = ("verb", "object", "result", "context", "timestamp")

_SESSION = "https://w3id.org/xapi/video/extensions/session-id"

_IDS = uuid.UUID("0c1f2c0e-8a3b-5f5e-9a52-0f5f3c6b7a10")


def application() -> FastAPI:
    """Return an application that serves nothing else."""
    loaded = settings.load()
    app = FastAPI(title="Amphipod: statements of players", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(router(loaded, Manager(loaded)))
    problems.install(app, loaded)
    app.add_middleware(BodyLimits, seconds=loaded.web_time_limit)
    app.add_middleware(SecurityHeaders)
    return app


def router(loaded: Settings, manager: Manager) -> APIRouter:
    """Return the routes, for an application that serves more.

    Raises:
        BadSettings: no broker is set.
    """
    connection.url(loaded)
    routes = APIRouter()
    rates = Buckets(loaded.xapi_tracker_rate, _BURST)

    @routes.post(PATH, status_code=204)
    async def take(request: Request, visitor: str = "") -> Response:
        origin = _origin(request, loaded)
        actor = _actor(visitor, loaded)
        said = _parsed(await _body(request))
        if seconds := rates.spend(request.client.host if request.client else "", len(said)):
            _refuse(429, "too many statements", Retry_After=str(seconds))
        ready = [_completed(one, actor, origin) for one in said]
        await run_in_threadpool(_submit, ready, loaded, manager)
        return Response(status_code=204, headers={"Access-Control-Allow-Origin": origin, "Vary": "Origin"})

    return routes


def _refuse(status: int, words: str, **headers: str) -> NoReturn:
    raise HTTPException(status, words, {name.replace("_", "-"): value for name, value in headers.items()})


def _origin(request: Request, loaded: Settings) -> str:
    origin = request.headers.get("origin", "")
    if origin not in loaded.xapi_tracker_origins:
        _refuse(403, f"pages of {origin or 'nowhere'} may not send statements: see AMPHIPOD_XAPI_TRACKER_ORIGINS")
    return origin


def _actor(visitor: str, loaded: Settings) -> dict[str, Any] | None:
    """Return who watches, as the portal has signed it; None for a visitor whom it doesn't know."""
    if not visitor:
        return None
    if loaded.xapi_visitor_key is None:
        _refuse(403, "no key to read the visitor's word with: set AMPHIPOD_XAPI_VISITOR_KEY")
    try:
        return visitor_token.read(loaded.xapi_visitor_key.get_secret_value(), visitor)
    except BadCall as error:
        _refuse(403, str(error))


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            _refuse(413, f"more than {LARGEST} bytes")
    return bytes(body)


def _parsed(body: bytes) -> list[Mapping[str, Any]]:
    if is_too_deep(body):
        _refuse(400, f"nested more than {DEEPEST} deep")
    try:
        said = json.loads(body)
    except ValueError:
        _refuse(400, "not JSON")
    several = said if isinstance(said, list) else [said]
    if not all(isinstance(one, dict) for one in several) or not 0 < len(several) <= _MOST:
        _refuse(400, f"a statement, or an array of up to {_MOST}")
    return several


def _completed(said: Mapping[str, Any], actor: Mapping[str, Any] | None, origin: str) -> Statement:
    """Return the statement with its actor, and with an id that a repetition has too, but nobody else's statement."""
    session = _get(said, "context", "extensions", _SESSION)
    known = actor or {"account": {"homePage": origin, "name": f"anonymous-{session or uuid.uuid4()}"}}
    given = {field: said[field] for field in _FIELDS if field in said}
    unique = said.get("id") if isinstance(said.get("id"), str) else uuid.uuid4()
    fresh = uuid.uuid5(_IDS, json.dumps([known, str(unique)], sort_keys=True))
    return {"id": str(fresh), "actor": {"objectType": "Agent", **known}, **given}


def _get(value: Any, *path: str) -> str | None:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) and len(value) <= 64 else None


def _submit(ready: list[Statement], loaded: Settings, manager: Manager) -> None:
    try:
        for one in ready:
            submit.check(one, submit.to_text(one), loaded)
            if complaint := manager.check_statement(one):
                _refuse(400, complaint)
        submit.submit_statements(ready, settings=loaded)
    except Transient:
        _refuse(503, "not now", Retry_After="5")
    except AmphipodError as error:  # it is wrong, or a plugin stumbles over it
        _refuse(400, str(error))
