"""Films sent by HTTP, in one piece or in several: the core of tus 1.0 (https://tus.io) with `creation`.

    POST   /uploads?name=lecture.mp4   the whole film as its body: done in one go
    POST   /uploads                    Upload-Length and Upload-Metadata: what will come
    PATCH  /uploads/{id}               Upload-Offset, and the next bytes
    HEAD   /uploads/{id}               how many have come

What has come before a connection broke is kept.
"""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from core.errors import BadCall
from core.retention import uploads
from core.retention.uploads import UnknownUpload, UploadFolder
from core.web.auth import SUBMIT
from core.web.http.problems import Refusal, base
from core.web.services import Services

VERSION = "1.0.0"

#: Bytes that go to the disk together.
_AT_ONCE = 1 << 20

_BYTES = "application/offset+octet-stream"


class UploadState(BaseModel):
    id: str
    name: str
    size: int
    #: Bytes that have come.
    offset: int
    #: Whole, and ready to be the source of a job.
    complete: bool


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["uploads"], dependencies=SUBMIT)

    @routes.post("/uploads", status_code=201)
    async def begin(
        request: Request,
        response: Response,
        name: Annotated[
            str | None, Query(max_length=1000, description="The film's name, where no metadata says it.")
        ] = None,
        length: Annotated[
            int | None, Header(alias="Upload-Length", ge=0, description="Bytes of the whole film.")
        ] = None,
        metadata: Annotated[
            str | None,
            Header(alias="Upload-Metadata", max_length=4000, description="`filename ` and its name in base64."),
        ] = None,
    ) -> UploadState:
        """Announce a film, or send all of it as the body."""
        sent = request.headers.get("content-length", "")
        size = length if length is not None else int(sent) if sent.isdigit() else 0
        called = name or _metadata(metadata or "").get("filename") or "film"
        upload = await run_in_threadpool(uploads.begin, services.settings, called, size)
        place = uploads.folder(services.settings, upload.id)
        if sent not in ("", "0") or "transfer-encoding" in request.headers:
            await _append(request, place, 0)
        state = _state(place)
        response.headers["Location"] = f"{base(request)}/uploads/{upload.id}"
        _say(response, state)
        return state

    @routes.options("/uploads", status_code=204, include_in_schema=False)
    def able() -> Response:
        limits = {"Tus-Extension": "creation,creation-with-upload,termination", "Tus-Version": VERSION}
        largest = str(services.settings.web_upload_limit)
        return Response(status_code=204, headers={"Tus-Resumable": VERSION, "Tus-Max-Size": largest, **limits})

    @routes.get("/uploads/{upload}")
    def state(upload: str, response: Response) -> UploadState:
        """Tell how much of a film has come."""
        found = _state(_place(services, upload))
        _say(response, found)
        return found

    @routes.head("/uploads/{upload}", include_in_schema=False)
    def offset(upload: str) -> Response:
        response = Response(headers={"Cache-Control": "no-store"})
        _say(response, _state(_place(services, upload)))
        return response

    @routes.patch("/uploads/{upload}", status_code=204, openapi_extra={"requestBody": {"content": {_BYTES: {}}}})
    async def append(
        upload: str,
        request: Request,
        offset: Annotated[int, Header(alias="Upload-Offset", ge=0, description="How many bytes have come so far.")],
    ) -> Response:
        """Send the next bytes of a film."""
        if request.headers.get("content-type", "").partition(";")[0] != _BYTES:
            raise Refusal(415, "this is not the next bytes of a film", remedy=f"send them as {_BYTES}")
        place = _place(services, upload)
        await _append(request, place, offset)
        response = Response(status_code=204)
        _say(response, _state(place))
        return response

    @routes.delete("/uploads/{upload}", status_code=204)
    def remove(upload: str) -> Response:
        """Forget a film that no job needs."""
        uploads.remove(services.settings, _place(services, upload))
        return Response(status_code=204, headers={"Tus-Resumable": VERSION})

    return routes


def _place(services: Services, upload: str) -> UploadFolder:
    try:
        place = uploads.folder(services.settings, upload)
        place.read()
    except UnknownUpload as error:
        raise Refusal(404, error.message, remedy=error.remedy) from error
    return place


def _state(place: UploadFolder) -> UploadState:
    upload = place.read()
    offset = place.offset()
    complete = not place.part.exists()
    return UploadState(id=upload.id, name=upload.name, size=upload.size, offset=offset, complete=complete)


def _say(response: Response, state: UploadState) -> None:
    response.headers["Tus-Resumable"] = VERSION
    response.headers["Upload-Offset"] = str(state.offset)
    response.headers["Upload-Length"] = str(state.size)


async def _append(request: Request, place: UploadFolder, offset: int) -> None:
    """Take what comes; of what is refused or breaks off in the middle, what has come is kept."""
    with uploads.appending(place, offset) as film:
        waiting = bytearray()
        try:
            async for chunk in request.stream():
                waiting += chunk
                if len(waiting) >= _AT_ONCE:
                    data, waiting = bytes(waiting), bytearray()
                    await run_in_threadpool(film.write, data)
        finally:
            with suppress(ClientDisconnect):
                if waiting:
                    await run_in_threadpool(film.write, bytes(waiting))
                await run_in_threadpool(film.finish)


def _metadata(text: str) -> dict[str, str]:
    """Read tus' metadata: `key base64, key base64`.

    Raises:
        BadCall
    """
    found = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        key, _, value = pair.partition(" ")
        try:
            found[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise BadCall(f"Upload-Metadata: {key[:40]} is not base64 of UTF-8") from error
    return found
