"""A file, or the bytes of it that are asked for (RFC 9110, section 14): players seek by ranges.

Starlette's own FileResponse knows ranges from 0.39 on, which Ralph's pin of FastAPI does not allow yet.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import BinaryIO

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from core.web.http.problems import Refusal

_PIECE = 256 * 1024

_RANGE = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*")


def respond(request: Request, file: BinaryIO, media_type: str, *, tag: str | None = None) -> Response:
    """Return the whole file, or one range of it; several at once are answered by the whole. It is closed at the end.

    :param tag: names the content; by default it follows from size and time.

    Raises:
        Refusal: the range lies outside the file.
    """
    status = os.fstat(file.fileno())
    etag = f'"{tag or f"{status.st_mtime_ns:x}-{status.st_size:x}"}"'
    changed = formatdate(status.st_mtime, usegmt=True)
    headers = {"Accept-Ranges": "bytes", "ETag": etag, "Last-Modified": changed, "Cache-Control": "private, no-cache"}
    if etag in request.headers.get("if-none-match", ""):
        file.close()
        return Response(status_code=304, headers=headers)
    try:
        wanted = _wanted(request, status.st_size, etag, changed)
    except Refusal:
        file.close()
        raise
    begin, end = wanted or (0, status.st_size)
    headers["Content-Length"] = str(end - begin)
    if wanted:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{status.st_size}"
    code = 206 if wanted else 200
    if request.method == "HEAD":
        file.close()
        return Response(status_code=code, headers=headers, media_type=media_type)
    return StreamingResponse(_pieces(file, begin, end), code, headers, media_type)


def _wanted(request: Request, size: int, etag: str, changed: str) -> tuple[int, int] | None:
    """Return the first byte and the one after the last, None for all."""
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    condition = request.headers.get("if-range")
    if asked is None or asked.groups() == ("", "") or (condition and condition not in (etag, changed)):
        return None
    first, last = asked.groups()
    begin = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if begin >= end:
        raise Refusal(416, f"the file has {size} bytes", headers={"Content-Range": f"bytes */{size}"})
    return begin, end


async def _pieces(file: BinaryIO, begin: int, end: int) -> AsyncIterator[bytes]:
    try:
        await run_in_threadpool(file.seek, begin)
        while begin < end:
            piece = await run_in_threadpool(file.read, min(_PIECE, end - begin))
            if not piece:
                return
            begin += len(piece)
            yield piece
    finally:
        file.close()
