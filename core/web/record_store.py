"""What a system that speaks xAPI sends, as to any record store: Amphipod stands before the store of Moodle or H5P."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from fastapi import Request
from starlette.responses import Response

from core.model import Statement
from core.settings import Settings
from core.settings.values import StatementClient
from core.statements import submit
from core.web.http.limits import Buckets
from core.web.tracker import UUID_FORM, read_json, refuse

#: Versions of xAPI whose statements are taken.
VERSIONS = ("1.0.3", "2.0.0")

#: Wrong logins a second from one address, and how many seconds' worth at once.
_WRONG_RATE, _WRONG_BURST = 1.0, 10

_HEADER = "X-Experience-API-Version"

_VERSION = re.compile(r"[12]\.0(\.\d{1,3})?", re.ASCII)

_R = TypeVar("_R", bound=Response)


def answer(response: _R) -> _R:
    response.headers[_HEADER] = VERSIONS[0]
    return response


class Clients:
    """The systems that have a login here."""

    def __init__(self, settings: Settings) -> None:
        self._known = {one.login: one for one in settings.xapi_clients}
        self._wrong = Buckets(_WRONG_RATE, _WRONG_BURST)

    async def read(self, request: Request, *, only: str | None = None) -> list[Statement]:
        """Return what a system sends, each with its id; `only` is the id that a PUT names."""
        client = self._client(request)
        if not _VERSION.fullmatch(request.headers.get(_HEADER, "")):
            refuse(400, f"the header {_HEADER} must be 1.0.3 or 2.0.0")
        if not request.headers.get("content-type", "").lower().startswith("application/json"):
            refuse(400, "only application/json is taken: attachments' data are not passed on, send their fileUrl")
        said = _parsed(await request.body())
        if only is not None:
            said = _named(said, only)
        statements: list[Statement] = [submit.identified(one) for one in said]
        for one in statements:
            _check(one, client)
        if len({str(one["id"]).lower() for one in statements}) < len(statements):
            refuse(400, "an id twice in one request")
        return statements

    def _client(self, request: Request) -> StatementClient:
        where = request.client.host if request.client else ""
        login, password = _basic(request.headers.get("authorization", ""))
        client = self._known.get(login)
        expected = client.password.get_secret_value() if client else "x" * 32
        if not hmac.compare_digest(expected.encode(), password.encode()) or client is None:
            if seconds := self._wrong.spend(where):
                refuse(429, "too many wrong logins", Retry_After=str(seconds))
            refuse(401, "no such login: see AMPHIPOD_XAPI_CLIENTS", WWW_Authenticate='Basic realm="xAPI"')
        return client


def _basic(header: str) -> tuple[str, str]:
    kind, _, text = header.partition(" ")
    try:
        login, _, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (ValueError, binascii.Error):
        return "", ""
    return (login, password) if kind.lower() == "basic" else ("", "")


def _parsed(text: bytes) -> Sequence[Mapping[str, Any]]:
    said = read_json(text)
    several = said if isinstance(said, list) else [said]
    if not all(isinstance(one, dict) for one in several):
        refuse(400, "a statement, or an array of statements")
    return several


def _named(statements: Sequence[Mapping[str, Any]], name: str) -> Sequence[Mapping[str, Any]]:
    """Return the statement of a PUT under the id of its address."""
    if len(statements) != 1 or not name:
        refuse(400, "PUT takes one statement, and its id as ?statementId=")
    if str(statements[0].get("id", name)).lower() != name.lower():
        refuse(400, "the statement's id is not that of ?statementId=")
    return [{**statements[0], "id": name}]


def _check(statement: Statement, client: StatementClient) -> None:
    if not UUID_FORM.fullmatch(str(statement["id"])):
        refuse(400, f"{str(statement['id'])[:200]} is no UUID: a statement's id is one, or is left out")
    verb, activity = (_id_of(statement.get(field)) for field in ("verb", "object"))
    if client.verbs and verb.rstrip("/").rpartition("/")[2] not in client.verbs:
        refuse(403, f"{client.login} may not say {verb[:200] or 'nothing'}")
    if client.activities and not activity.startswith(client.activities):
        refuse(403, f"{client.login} may not speak of {activity[:200] or 'nothing'}")


def _id_of(value: object) -> str:
    found = value.get("id") if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else ""
