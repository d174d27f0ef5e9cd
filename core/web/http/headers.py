"""What stands before the application: a reverse proxy's word of where we are, and what browsers are told to refuse."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from starlette._utils import get_route_path
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

#: Own files only; blob: is where players put the pieces of a film and the choice of one quality. The player's controls
#: are custom elements, whose style elements stand in their shadow trees.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "connect-src 'self' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "media-src 'self' blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

#: What each answer says, whoever gives it.
SECURITY: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # What is said about jobs is kept by no proxy and no browser; files and static ones say otherwise.
    "cache-control": "no-store",
}

#: A proxy on this machine says whose browser sends statements; nobody is let in by its word.
LOCAL = ("127.0.0.1", "::1")

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")


class ReadableAcrossOrigins:
    """Lets pages of elsewhere read each answer of one path: a tracker acts on refusals. No cookie counts there."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("access-control-allow-origin", "*")
                headers.setdefault("access-control-expose-headers", "Retry-After")
            await send(message)

        is_ours = scope["type"] == "http" and get_route_path(scope) == self._path
        await self._app(scope, receive, readable if is_ours else send)


class SecurityHeaders:
    """Adds them to each answer that has not set its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, secured if scope["type"] == "http" else send)


class Forwarded:
    """Believes what trusted proxies say of their client's address and scheme."""

    def __init__(self, app: ASGIApp, trusted: Sequence[str]) -> None:
        self._app: Any = ProxyHeadersMiddleware(cast("Any", app), list(trusted))  # uvicorn has types of its own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class Prefix:
    """Says below which path we are: always `root_path`, or what a trusted proxy says in X-Forwarded-Prefix."""

    def __init__(self, app: ASGIApp, root_path: str, trusted: Sequence[str]) -> None:
        self._app = app
        self._root_path = root_path.rstrip("/")
        self._trusted = frozenset(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["root_path"] = self._said(scope) or self._root_path
        await self._app(scope, receive, send)

    def _said(self, scope: Scope) -> str:
        if not scope.get("client") or scope["client"][0] not in self._trusted:
            return ""
        said = dict(scope["headers"]).get(b"x-forwarded-prefix", b"").decode("latin-1").rstrip("/")
        return said if _PREFIX.fullmatch(said) else ""
