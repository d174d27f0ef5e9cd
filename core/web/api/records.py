"""Record stores: how many statements were sent, wait or are dead; the dead ones looked at, sent again or dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from core.redis import connection
from core.statements import dead_letters, submit
from core.statements.outbox import Outbox
from core.statements.submit import INTAKE
from core.web.auth import MANAGE, READ
from core.web.http.problems import Refusal
from core.web.services import Services


class StoreAbout(BaseModel):
    """A record store, or `intake`, where statements wait until they are checked."""

    name: str
    sent: int
    waiting: int
    #: Of those, what waits on the disk because Redis is full.
    on_disk: int
    retried: int
    dropped: int
    dead: int
    #: Statements a second in the last minute.
    rate: float
    #: What keeps it from taking any; "": nothing.
    alarm: str


class Dead(BaseModel):
    """A statement that can't be delivered."""

    at: str
    #: Of whoever refused it.
    words: str
    statement: Any


class Chosen(BaseModel):
    ids: list[str] | None = Field(None, max_length=10_000, description="Ids of statements; by default all dead ones.")


class Number(BaseModel):
    statements: int


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["records"])

    @routes.get("/stores", dependencies=READ)
    def stores() -> list[StoreAbout]:
        """List the record stores; none without a broker, where no statements wait."""
        return store_list(services)

    @routes.get("/stores/{name}/dead", dependencies=READ)
    def dead(name: str, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[Dead]:
        """List the oldest statements that can't be delivered, and why."""
        return dead_list(services, name, limit)

    @routes.get("/stores/{name}/dead/export", response_class=StreamingResponse, dependencies=READ)
    def export(name: str) -> StreamingResponse:
        """Return all of them, one JSON object a line: {store, at, words, statement}."""
        box = _box(services, name)
        headers = {"Content-Disposition": f'attachment; filename="dead-{_label(box.name)}.jsonl"'}
        return StreamingResponse(_lines(box), headers=headers, media_type="application/x-ndjson")

    @routes.post("/stores/{name}/dead/retry", dependencies=MANAGE)
    def retry(name: str, chosen: Chosen | None = None) -> Number:
        """Send dead statements again, all or some."""
        return Number(statements=retry_dead(services, name, chosen.ids if chosen else None))

    @routes.post("/stores/{name}/dead/drop", dependencies=MANAGE)
    def drop(name: str, chosen: Chosen | None = None) -> Number:
        """Remove dead statements for good, all or some."""
        return Number(statements=drop_dead(services, name, chosen.ids if chosen else None))

    return routes


def store_list(services: Services) -> list[StoreAbout]:
    """Return the record stores.

    Raises:
        OutOfReach
    """
    with connection.errors(services.settings):
        return [StoreAbout(name=_label(box.name), **box.report()) for box in _boxes(services)]


def dead_list(services: Services, name: str, limit: int) -> list[Dead]:
    """Return the oldest dead statements of a store.

    Raises:
        Refusal: there is no such store.
        OutOfReach
    """
    found = dead_letters.read(_box(services, name), limit)
    return [Dead(at=one["at"], words=one["words"], statement=one["statement"]) for one in found]


def retry_dead(services: Services, name: str, ids: list[str] | None) -> int:
    """Send dead statements again; as `dead_list`."""
    with connection.errors(services.settings):
        return dead_letters.retry(_box(services, name), dead_letters.chosen(None if ids is None else frozenset(ids)))


def drop_dead(services: Services, name: str, ids: list[str] | None) -> int:
    """Remove dead statements; as `dead_list`."""
    return dead_letters.drop(_box(services, name), dead_letters.chosen(None if ids is None else frozenset(ids)))


def _boxes(services: Services) -> list[Outbox]:
    if not services.has_broker:
        return []
    settings = services.settings
    client = connection.shared(settings)
    known = [one.name for one in services.manager.statement_destinations()]
    return [submit.outbox(client, name, settings) for name in submit.stores(client, settings, known)]


def _box(services: Services, name: str) -> Outbox:
    with connection.errors(services.settings):
        found = next((box for box in _boxes(services) if _label(box.name) == name), None)
    if found is None:
        raise Refusal(404, f"no record store {name!r}", remedy="see /api/v1/stores")
    return found


def _label(name: str) -> str:
    return name.removeprefix("_") if name == INTAKE else name


def _lines(box: Outbox) -> Iterator[str]:
    for letter in dead_letters.each(box):
        yield json.dumps(letter) + "\n"
