"""Who is asked by: a token in the header or in a browser's cookie, or, while no token was made, this machine itself."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from core.errors import BadSettings
from core.settings import Settings
from core.web import tokens
from core.web.http import problems
from core.web.http.limits import Buckets
from core.web.http.problems import Refusal
from core.web.tokens import Scope, Token, TokenFile

COOKIE = "amphipod_token"

#: How many seconds' worth of requests a client may make at once.
_BURST = 10

_SAFE = ("GET", "HEAD", "OPTIONS")

#: What nobody needs a token for: logging in, and what the pages for it are made of.
_OPEN = re.compile(r"/(login|logout|preferences|static/.*)")

#: The API's description, which `web_docs_public` opens or closes.
_DOCS = ("/openapi.json", f"{problems.API}/docs")

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")

_REMEDY = "make one by `amphipod token create`, and send it as `Authorization: Bearer TOKEN`"


@dataclass(frozen=True)
class Caller:
    """Who makes a request. `scope` is None for one who has shown no valid token."""

    scope: Scope | None
    #: The token's id, "loopback" where there are none, else "".
    id: str = ""
    #: For whom the token was made.
    name: str = ""
    #: A token was shown, and is none of ours, or no longer.
    is_wrong: bool = False

    def may(self, needed: Scope) -> bool:
        return self.scope is not None and tokens.allows(self.scope, needed)


class Guard:
    """Finds out who asks, before anything else looks at the request, and refuses what may come from nobody.

    Without a valid token nothing but the few open addresses is reached, whoever has added it and however, and no body
    is read. What else a token must allow, the routes say (`require`).

    While no token was made, only this machine is answered, by a name that is its own: a page of elsewhere whose name
    was made to point here (DNS rebinding) is not, nor what a proxy passes on.
    """

    def __init__(self, app: ASGIApp, settings: Settings, known: TokenFile) -> None:
        self._app = app
        self._settings = settings
        self._known = known
        self._rates = Buckets(settings.web_rate, _BURST)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            if not problems.is_foreign(request):
                request.state.caller = caller = self._caller(request)
                self._check_origin(request)
                self._check_rate(request, caller)
                if caller.scope is None and not self._is_open(request):
                    raise _no_token(caller)
        except (Refusal, BadSettings) as error:
            # A page where one can log in; for the rest no template need be read.
            asks_to_log_in = problems.status_of(error) == 401
            answer = problems.answer(request, error) if asks_to_log_in else problems.response(error)
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_open(self, request: Request) -> bool:
        path = problems.path_of(request)
        return _OPEN.fullmatch(path) is not None or (self._settings.web_docs_public and path in _DOCS)

    def _caller(self, request: Request) -> Caller:
        made = self._known.tokens()
        if not made:
            self._check_loopback(request)
            return Caller("manage", "loopback")
        text = _shown(request)
        if not text:
            return Caller(None)
        token = tokens.find(made, text)
        return Caller(token.scope, token.id, token.name) if token else Caller(None, is_wrong=True)

    def _check_loopback(self, request: Request) -> None:
        behind_proxy = self._settings.web_trusted_proxies or any(name in request.headers for name in _FORWARDED)
        host = request.client.host if request.client else ""
        if behind_proxy or not _is_loopback(host):
            raise Refusal(403, "no token was made, so only this machine is answered", remedy=_REMEDY)
        if not _is_loopback(urlsplit(f"//{request.headers.get('host', '')}").hostname or ""):
            words = f"no token was made, so {request.headers.get('host') or 'a request without a host'} is not answered"
            raise Refusal(403, words, remedy=f"ask for http://127.0.0.1, or {_REMEDY}")

    def _check_origin(self, request: Request) -> None:
        """Refuse what another site's page has a browser do."""
        if request.method in _SAFE:
            return
        origin = request.headers.get("origin")
        ours = origin is None or urlsplit(origin).netloc == request.headers.get("host")
        if origin in self._settings.web_origins or (ours and request.headers.get("sec-fetch-site") != "cross-site"):
            return
        raise Refusal(
            403,
            f"pages of {origin or 'another site'} may change nothing here",
            remedy="have the proxy pass Host on, or add the origin to AMPHIPOD_WEB_ORIGINS",
        )

    def _check_rate(self, request: Request, caller: Caller) -> None:
        who = caller.id if caller.scope else f"from {request.client.host if request.client else ''}"
        if seconds := self._rates.spend(who):
            remedy = f"wait {seconds} s, or raise AMPHIPOD_WEB_RATE"
            raise Refusal(429, "too many requests", remedy=remedy, headers={"Retry-After": str(seconds)})


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(request: Request) -> str:
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return text.strip()
    return request.cookies.get(COOKIE, "")


def caller(request: Request) -> Caller:
    """Return who makes this request."""
    found: Caller = getattr(request.state, "caller", Caller(None))
    return found


_BEARER = HTTPBearer(auto_error=False, description="A token of `amphipod token create`")


def _no_token(caller: Caller) -> Refusal:
    words = "this token is not valid, or no longer" if caller.is_wrong else "a token is needed"
    return Refusal(401, words, remedy=_REMEDY, headers={"WWW-Authenticate": "Bearer"})


def require(needed: Scope) -> Callable[..., Caller]:
    """Return a dependency that lets in who may do this, `dependencies=[Depends(require("read"))]`."""

    def check(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> Caller:
        found = caller(request)
        if found.scope is None:
            raise _no_token(found)
        if not found.may(needed):
            remedy = f"make one by `amphipod token create --scope {needed}`"
            raise Refusal(403, f"this token may {found.scope}, not {needed}", remedy=remedy)
        return found

    return check


#: For routes: `dependencies=READ`.
READ = [Depends(require("read"))]
SUBMIT = [Depends(require("submit"))]
MANAGE = [Depends(require("manage"))]


def open_session(request: Request, response: Response, known: TokenFile, text: str) -> Token:
    """Let a browser in by a token that a person has pasted: from now on its cookie shows it.

    Raises:
        Refusal: it is not valid.
    """
    token = tokens.find(known.tokens(), text.strip())
    if token is None:
        raise Refusal(401, "this token is not valid, or no longer", remedy=_REMEDY)
    response.set_cookie(
        COOKIE,
        text.strip(),
        path=_path(request),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
        expires=token.expires_at,
    )
    return token


def close_session(request: Request, response: Response) -> None:
    response.delete_cookie(COOKIE, path=_path(request), httponly=True, samesite="strict")


def _path(request: Request) -> str:
    return request.scope.get("root_path", "") or "/"
