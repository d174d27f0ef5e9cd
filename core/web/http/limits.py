"""What one client may take: bytes of a body, seconds until it has come, requests a second."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict

from starlette._utils import get_route_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.web.http import problems
from core.web.http.problems import Refusal

#: Bytes of a request that is no upload.
LARGEST_BODY = 1 << 20

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
    """Ends a request whose body is too large or does not come."""

    def __init__(self, app: ASGIApp, seconds: float, upload_paths: tuple[str, ...]) -> None:
        """Give a body `seconds` to come; below `upload_paths`, as long as it moves, and its size is limited there."""
        self._app = app
        self._seconds = seconds
        self._upload_paths = upload_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_upload = get_route_path(scope).startswith(self._upload_paths)
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not is_upload and length.isdigit() and int(length) > LARGEST_BODY:
            await problems.response(_too_large())(scope, receive, send)
            return
        await self._app(scope, self._limited(receive, is_upload=is_upload), send)

    def _limited(self, receive: Receive, *, is_upload: bool) -> Receive:
        size, begun, came, complete = 0, time.monotonic(), 0, False

        async def limited() -> Message:
            nonlocal size, begun, came, complete
            if complete:  # from here on only a disconnect is waited for
                return await receive()
            left = begun + self._seconds - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), max(left, 0.001))
            except TimeoutError:
                raise _too_slow(self._seconds) from None
            size += len(message.get("body", b""))
            came += len(message.get("body", b""))
            complete = not message.get("more_body")
            if not is_upload and size > LARGEST_BODY:
                raise _too_large()
            if is_upload and came >= SLOWEST * self._seconds:
                begun, came = time.monotonic(), 0
            return message

        return limited


def _too_large() -> Refusal:
    return Refusal(413, f"the request has more than {LARGEST_BODY} bytes", remedy="send a film to /api/v1/uploads")


def _too_slow(seconds: float) -> Refusal:
    words = f"too little came within {seconds:g} s"
    return Refusal(408, words, remedy="send it again; an upload goes on where it was", headers={"Connection": "close"})
