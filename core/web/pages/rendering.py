"""A page as an answer: the language and colours of whoever asks, and what the page before left to be said."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from core.errors import AmphipodError
from core.printable import printable
from core.web import auth
from core.web.auth import Caller
from core.web.http import problems
from core.web.pages import environment, languages
from core.web.services import Services

LANGUAGE, THEME, NOTICE = "amphipod_language", "amphipod_theme", "amphipod_notice"

THEMES = ("light", "dark")

#: Seconds within which a notice is shown, and for which a choice is remembered.
_NOTICE_SECONDS, _YEAR = 30, 365 * 86400

#: Characters of a notice: it travels in a cookie.
_NOTICE_LIMIT = 1200


class Renderer:
    def __init__(self, services: Services) -> None:
        self._services = services

    def page(
        self, request: Request, name: str, context: Mapping[str, Any], *, status: int = 200, events: str = ""
    ) -> HTMLResponse:
        """Return a page; `events` is the path of what keeps it up to date."""
        caller = getattr(request.state, "caller", Caller(None))
        notice = _read(request.cookies.get(NOTICE, ""))
        path = problems.path_of(request)
        about = {
            "base": base(request),
            "place": f"/{path.lstrip('/').partition('/')[0]}",
            "here": here(request),
            "language": language(request),
            "theme": _theme(request),
            "caller": caller,
            "allowed": caller.may("read"),
            "embedded": not self._services.has_broker,
            "version": request.app.version,
            "notice": notice,
            "events": events,
            "query": None,
        }
        html = environment.render(name, about["language"], {**about, **context})
        response = HTMLResponse(
            printable(html), status, {"Cache-Control": "no-store", "Vary": "Cookie, Accept-Language"}
        )
        if notice:
            response.delete_cookie(NOTICE, path=base(request) or "/")
        return response

    def error(self, request: Request, error: AmphipodError) -> HTMLResponse:
        """Return an error as a page: its sentence, and what to do."""
        status = problems.status_of(error)
        if status == 401:
            return self.page(request, "login.html", {"then": here(request), "wrong": ""}, status=status)
        context = {"words": error.message, "remedy": error.remedy}
        return self.page(request, "error.html", context, status=status)


def base(request: Request) -> str:
    """Return the path below which a reverse proxy shows us, without a slash at its end."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def here(request: Request) -> str:
    """Return the address of a page without its host, to come back to."""
    path = f"{base(request)}{problems.path_of(request)}"
    return f"{path}?{request.url.query}" if request.url.query and request.method == "GET" else path


def language(request: Request) -> str:
    return languages.choose(request.cookies.get(LANGUAGE, ""), request.headers.get("accept-language", ""))


def _theme(request: Request) -> str:
    chosen = request.cookies.get(THEME, "")
    return chosen if chosen in THEMES else ""


def back(request: Request, asked: str, otherwise: str) -> RedirectResponse:
    """Return the way back to the page that asked, if it is one of ours."""
    root = base(request)
    ours = asked.startswith(f"{root}/") and not asked.startswith("//") and not set(asked) & set("\\\r\n\t")
    return RedirectResponse(asked if ours else f"{root}{otherwise}", 303)


def say(
    request: Request, response: RedirectResponse, words: str, kind: Literal["good", "bad"] = "good"
) -> RedirectResponse:
    """Have the next page say this."""
    text = json.dumps({"kind": kind, "words": words[:_NOTICE_LIMIT]})
    value = base64.urlsafe_b64encode(text.encode()).decode()
    path = base(request) or "/"
    response.set_cookie(NOTICE, value, max_age=_NOTICE_SECONDS, path=path, httponly=True, samesite="strict")
    return response


def _read(cookie: str) -> dict[str, str] | None:
    try:
        said = json.loads(base64.urlsafe_b64decode(cookie)) if cookie else None
    except (ValueError, RecursionError):
        return None
    kept = said if isinstance(said, dict) and {"kind", "words"} <= said.keys() else {}
    return kept if kept and all(isinstance(one, str) for one in kept.values()) else None


def remember(request: Request, response: RedirectResponse, name: str, value: str) -> None:
    """Keep a choice in the browser; an empty one is forgotten."""
    path = base(request) or "/"
    if value:
        response.set_cookie(name, value, max_age=_YEAR, path=path, httponly=True, samesite="lax")
    else:
        response.delete_cookie(name, path=path)


def link(request: Request, path: str, **query: str) -> str:
    asked = urlencode({name: value for name, value in query.items() if value})
    return f"{base(request)}{path}{f'?{asked}' if asked else ''}"


def caller(request: Request) -> Caller:
    return auth.caller(request)
