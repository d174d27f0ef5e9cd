"""What one client may take: bytes of a body and how deep it is nested, seconds until it has come, requests a second."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from starlette._utils import get_route_path
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.model.nesting import DEEPEST, is_too_deep
from core.web.http import problems
from core.web.http.problems import API, Refusal

#: Bytes of a request that is no upload; of a form, which takes seconds to read if it has a million fields; and of what
#: anybody may send, to log in.
LARGEST_BODY = 1 << 20
LARGEST_FORM = 1 << 17
LARGEST_OPEN = 1 << 13

#: Films; each of these routes limits what it takes itself, and reads it only for who may send it.
_UPLOADS = re.compile(rf"{re.escape(API)}/uploads(/[^/]+)?|/submit")

_OPEN = ("/login", "/logout", "/preferences")

_FORM = b"application/x-www-form-urlencoded"

#: Bytes a second below which an upload counts as stalled.
SLOWEST = 1024

#: Clients whose rate is remembered; of more, those heard of last.
_REMEMBERED = 10_000


class Buckets:
    """How much each client has left: a bucket that fills with the time."""

    def __init__(self, rate: float, burst: float) -> None:
        """Give each client `rate` a second, and up to `rate * burst` at once."""
        self._rate = rate
        self._full = rate * burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, who: str, amount: float = 1) -> int:
        """Take from a client's bucket. Returns 0, or after how many seconds there is enough in it."""
        clock = time.monotonic()
        left, at = self._buckets.pop(who, (self._full, clock))
        left = min(self._full, left + (clock - at) * self._rate)
        allowed = left >= amount
        self._buckets[who] = (left - amount if allowed else left, clock)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        return 0 if allowed else round((amount - left) / self._rate) + 1


class BodyLimits:
    """Ends a request whose body is too large, too deep or does not come, whichever route it is for."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        """Give a body `seconds` to come; an upload, as long as it moves."""
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        body = _Body(self._seconds, _largest(scope, headers), _is_json(headers))
        length = headers.get(b"content-length", b"")
        if body.largest is not None and length.isdigit() and int(length) > body.largest:
            await problems.answer(Request(scope), _too_large(body.largest))(scope, receive, send)
            return
        await self._app(scope, body.limited(receive), send)


def _largest(scope: Scope, headers: dict[bytes, bytes]) -> int | None:
    """Return how many bytes a request may have, None for an upload."""
    path = get_route_path(scope)
    if _UPLOADS.fullmatch(path):
        return None
    if path in _OPEN:
        return LARGEST_OPEN
    return LARGEST_FORM if headers.get(b"content-type", b"").lower().startswith(_FORM) else LARGEST_BODY


def _is_json(headers: dict[bytes, bytes]) -> bool:
    """Tell what FastAPI parses: JSON, and what does not say what it is."""
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    return not kind or kind.endswith((b"/json", b"+json"))


@dataclass
class _Body:
    """What has come of one request's body."""

    seconds: float
    largest: int | None
    is_json: bool
    size: int = 0
    begun: float = field(default_factory=time.monotonic)
    #: Since then.
    came: int = 0
    text: bytearray = field(default_factory=bytearray)
    complete: bool = False

    def limited(self, receive: Receive) -> Receive:
        async def limited() -> Message:
            if self.complete:  # from here on only a disconnect is waited for
                return await receive()
            left = self.begun + self.seconds - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), max(left, 0.001))
            except TimeoutError:
                raise _too_slow(self.seconds) from None
            self._take(message.get("body", b""))
            self.complete = not message.get("more_body")
            if self.complete and is_too_deep(bytes(self.text)):
                raise Refusal(400, f"the request is nested more than {DEEPEST} deep", remedy="make it flatter")
            return message

        return limited

    def _take(self, data: bytes) -> None:
        self.size += len(data)
        self.came += len(data)
        if self.largest is None:
            if self.came >= SLOWEST * self.seconds:
                self.begun, self.came = time.monotonic(), 0
        elif self.size > self.largest:
            raise _too_large(self.largest)
        elif self.is_json:
            self.text += data


def _too_large(largest: int) -> Refusal:
    remedy = "send a film to /api/v1/uploads" if largest == LARGEST_BODY else "send less at once"
    return Refusal(413, f"the request has more than {largest} bytes", remedy=remedy)


def _too_slow(seconds: float) -> Refusal:
    words = f"too little came within {seconds:g} s"
    return Refusal(408, words, remedy="send it again; an upload goes on where it was", headers={"Connection": "close"})
