"""Errors as problem documents (RFC 9457): our one-line reason, and its remedy beside it.

The API answers nothing else; the runner managers' API and the intake of statements keep to their own contracts.
"""

from __future__ import annotations

import http
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import redis
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from core import errors, validation_messages
from core.errors import AmphipodError
from core.printable import printable
from core.redis import connection
from core.settings import Settings

#: Below this path all errors are problem documents.
API = "/api/v1"

MEDIA_TYPE = "application/problem+json"

#: Seconds after which what is out of reach may be asked again.
_LATER = "5"

#: The nearest class of an error decides.
_STATUS: Mapping[type[AmphipodError], int] = {
    errors.UnknownJob: 404,
    errors.JobConflict: 409,
    errors.WouldReplace: 409,
    errors.UnsafePath: 403,
    errors.BadSettings: 503,
    errors.BadCall: 400,
    errors.LimitExceeded: 413,
    errors.Permanent: 422,
    errors.NoSpace: 507,
    errors.Transient: 503,
    AmphipodError: 500,
}

_log = structlog.get_logger()


class Problem(BaseModel):
    """What went wrong, for a program and for a person (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    #: Which kind of problem: `urn:amphipod:` and the name of the error.
    type: str
    #: In one line.
    title: str
    status: int
    #: The title and the remedy, as the command line says it.
    detail: str
    #: What the reader can do about it.
    remedy: str = ""


class Refusal(AmphipodError):
    """The HTTP side itself refuses a request, before any job is looked at."""

    def __init__(
        self, status: int, message: str, *, remedy: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.headers = dict(headers or {})


#: What each operation may answer beside what it promises; FastAPI describes its own form of mistakes otherwise.
RESPONSES: dict[int | str, dict[str, Any]] = {
    key: {
        "description": words,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for key, words in (("4XX", "The request can't be met."), ("5XX", "The service can't answer now."))
}


def response(error: AmphipodError, **extensions: Any) -> JSONResponse:
    """Return the problem document of an error of ours."""
    status = status_of(error)
    about = {name: value for name in ("job", "step", "plugin") if (value := getattr(error, name))}
    problem = Problem(
        type=f"urn:amphipod:{_kind(error, status)}",
        title=_line(error.message),
        status=status,
        detail=printable(str(error)),
        remedy=_line(error.remedy),
        **about,
        **extensions,
    )
    return JSONResponse(problem.model_dump(mode="json"), status, _headers(error), MEDIA_TYPE)


def _headers(error: AmphipodError) -> Mapping[str, str]:
    if isinstance(error, Refusal):
        return error.headers
    return {"Retry-After": _LATER} if status_of(error) == 503 else {}


def status_of(error: AmphipodError) -> int:
    if isinstance(error, Refusal):
        return error.status
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)


def _kind(error: AmphipodError, status: int) -> str:
    if isinstance(error, Refusal):
        return http.HTTPStatus(status).phrase.lower().replace(" ", "-")
    return re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()


def _line(words: str) -> str:
    return printable(" ".join(words.split()))


def install(app: FastAPI, settings: Settings) -> None:
    """Have the application answer errors so.

    For what is no part of the API, `app.state.error_page(request, error)` answers, where pages have set it.
    """

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, AmphipodError)
        return answer(request, error)

    async def of_redis(request: Request, error: Exception) -> Response:
        assert isinstance(error, redis.RedisError)
        return answer(request, connection.refusal(error, settings.broker_url))

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        cause = error.__cause__
        if isinstance(cause, Refusal):  # while FastAPI read the body
            return answer(request, cause)
        if is_foreign(request) or not (is_api(request) or hasattr(app.state, "error_page")):
            return _Ascii({"detail": error.detail}, error.status_code, error.headers)
        return answer(request, _of_http(request, error))

    async def of_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        if is_foreign(request):
            return _Ascii({"detail": [_without_values(one) for one in error.errors()]}, 422)
        wrong = [_mistake(one) for one in error.errors()]
        return answer(request, Refusal(422, "; ".join(wrong), remedy="see /openapi.json"))

    async def unforeseen(request: Request, error: Exception) -> Response:
        _log.error("request failed", path=request.url.path, exc_info=error)
        return answer(request, Refusal(500, "the server has stumbled", remedy="its log says over what"))

    async def of_nobody(_request: Request, _error: Exception) -> Response:
        return Response(status_code=400)  # who asked has gone, and nobody reads it

    app.add_exception_handler(ClientDisconnect, of_nobody)
    app.add_exception_handler(AmphipodError, ours)
    app.add_exception_handler(redis.RedisError, of_redis)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(Exception, unforeseen)


def answer(request: Request, error: AmphipodError) -> Response:
    """Return what answers an error: a page, a problem document, or the words of a contract that is not ours."""
    if is_foreign(request):
        return _Ascii({"detail": str(error)}, status_of(error), _headers(error))
    page = getattr(request.app.state, "error_page", None)
    if page and not is_api(request):
        found: Response = page(request, error)
        return found
    return response(error)


class _Ascii(JSONResponse):
    """JSON that can carry half of a surrogate pair, which a caller may have sent as the name of a field."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode()


def _without_values(mistake: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mistake in FastAPI's words, without what was sent: not all of that can be written as JSON."""
    return {"type": mistake["type"], "loc": list(mistake["loc"]), "msg": mistake["msg"]}


def _of_http(request: Request, error: HTTPException) -> AmphipodError:
    """Return an error of FastAPI as one of ours."""
    cause = error.__cause__  # of what was raised while it read the body
    if isinstance(cause, AmphipodError):
        return cause
    words = f"no {request.url.path} here" if error.status_code == 404 else str(error.detail)
    return Refusal(error.status_code, words, headers=error.headers)


def path_of(request: Request) -> str:
    """Return the path below the prefix of a reverse proxy."""
    return get_route_path(request.scope)


def base(request: Request) -> str:
    """Return where the API is, as the caller sees it."""
    return f"{request.scope.get('root_path', '')}{API}"


def is_api(request: Request) -> bool:
    return path_of(request).startswith(f"{API}/")


#: Paths of contracts that are not ours, with tokens and words of their own. Each by itself: a plugin's address beside
#: them is one of ours.
_FOREIGN = re.compile(
    r"/task/(execute|(status|stop|result)/[^/]+(/file/.*)?)|/xapi/(statements|about)|/api/(health|version)"
)


def is_foreign(request: Request) -> bool:
    return _FOREIGN.fullmatch(path_of(request)) is not None


def _mistake(one: Any) -> str:
    where = ".".join(_names(one["loc"])) or "the body"
    return f"{where} {validation_messages.words(one)}"


def _names(place: Iterable[Any]) -> list[str]:
    names = [str(name) for name in place]
    return names[1:] if names and names[0] in ("body", "query", "path", "header", "cookie") else names
