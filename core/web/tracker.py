"""What a player's tracker sends: the browser says what was done, the server who did it, and nothing else is heard."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from fastapi import HTTPException, Request

from core.errors import BadCall
from core.model import Statement
from core.model.nesting import DEEPEST, is_too_deep
from core.settings import Settings
from core.statements import visitor_token
from core.web.http.limits import Buckets

#: Bytes of one request.
LARGEST = 128 * 1024

#: Statements of one request.
_MOST = 100

#: How many seconds' worth of statements may come at once.
_BURST = 20

#: What the Video Profile has a player say.
_VERBS = frozenset(
    {f"http://adlnet.gov/expapi/verbs/{name}" for name in ("initialized", "interacted", "completed", "terminated")}
    | {f"https://w3id.org/xapi/video/verbs/{name}" for name in ("played", "paused", "seeked")}
)

#: What a browser may say, and of what. Not who: actor, authority, instructor and team are not its to set, nor a score.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "verb": ("id", "display"),
    "object": ("objectType", "id", "definition"),
    "result": ("completion", "duration", "extensions"),
    "context": ("registration", "language", "platform", "contextActivities", "extensions"),
}

UUID_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)

_DURATION = re.compile(r"P(\d+[YMWD])*(T(\d+[HM])*(\d+(\.\d+)?S)?)?", re.ASCII)


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_extensions(value: object) -> bool:
    return isinstance(value, dict) and all(":" in name for name in value)


#: What no store takes otherwise, whatever its checks: a stranger could fill the dead letters with it.
_SHAPES: Mapping[tuple[str, str], Callable[[Any], bool]] = {
    ("verb", "display"): lambda value: _is_table(value) and all(map(_is_text, value.values())),
    ("object", "objectType"): lambda value: value == "Activity",
    ("object", "definition"): _is_table,
    ("result", "completion"): lambda value: isinstance(value, bool),
    ("result", "duration"): lambda value: _is_text(value) and _DURATION.fullmatch(value) is not None,
    ("result", "extensions"): _are_extensions,
    ("context", "registration"): lambda value: _is_text(value) and UUID_FORM.fullmatch(value) is not None,
    ("context", "language"): _is_text,
    ("context", "platform"): _is_text,
    ("context", "contextActivities"): _is_table,
    ("context", "extensions"): _are_extensions,
}

#: Of what Python reads as a time, what each store does.
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)

#: How JSON writes what `_is_unfit` finds; most texts have nothing that looks like it.
_ESCAPED = re.compile(rb"\\u(0000|d[89a-f])", re.IGNORECASE)

_SESSION = "https://w3id.org/xapi/video/extensions/session-id"


@dataclass(frozen=True)
class Said:
    """One request of a tracker."""

    statements: Sequence[Mapping[str, Any]]
    #: The word of who watches; "" for a visitor whom the portal doesn't know.
    visitor: str


def refuse(status: int, words: str, **headers: str) -> NoReturn:
    raise HTTPException(status, words, {name.replace("_", "-"): value for name, value in headers.items()})


class Limits:
    """How much a visitor may send, and an address: a lecture hall has one for all of its visitors."""

    def __init__(self, settings: Settings) -> None:
        self._visitors = Buckets(settings.xapi_tracker_rate, _BURST)
        self._addresses = Buckets(settings.xapi_tracker_address_rate, _BURST)

    def check(self, request: Request, said: Sequence[Mapping[str, Any]], who: Mapping[str, Any] | None) -> None:
        """Refuse what is too much."""
        numbers: dict[str, int] = {}
        for one in said:
            name = json.dumps(who, sort_keys=True) if who else str(session(one))
            numbers[name] = numbers.get(name, 0) + 1
        seconds = self._addresses.spend(request.client.host if request.client else "", len(said))
        for name, number in numbers.items():
            seconds = seconds or self._visitors.spend(name, number)
        if seconds:
            refuse(429, "too many statements", Retry_After=str(seconds))


def is_of_a_page(request: Request, settings: Settings) -> bool:
    return request.headers.get("origin", "") in settings.xapi_tracker_origins


def origin(request: Request, settings: Settings) -> str:
    """Return the origin of the page that sends."""
    found = request.headers.get("origin", "")
    if not is_of_a_page(request, settings):
        refuse(403, f"pages of {found or 'nowhere'} may not send statements: see AMPHIPOD_XAPI_TRACKER_ORIGINS")
    return found


def actor(word: str, settings: Settings) -> dict[str, Any] | None:
    """Return who watches, as the portal has signed it; None for a visitor whom it doesn't know."""
    if not word:
        return None
    if settings.xapi_visitor_key is None:
        refuse(403, "no key to read the visitor's word with: set AMPHIPOD_XAPI_VISITOR_KEY")
    try:
        return visitor_token.read(settings.xapi_visitor_key.get_secret_value(), word)
    except BadCall as error:
        refuse(403, str(error))


async def body(request: Request) -> bytes:
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > LARGEST:
            refuse(413, f"more than {LARGEST} bytes")
    return bytes(read)


def read_json(text: bytes) -> Any:
    """Read JSON; refuse what is none, or nested too deep, or has letters over which stores stumble."""
    if is_too_deep(text):
        refuse(400, f"nested more than {DEEPEST} deep")
    try:
        said = json.loads(text)
    except ValueError:
        refuse(400, "not JSON")
    # Half of a pair of surrogates is no text in UTF-8, and PostgreSQL keeps no zero: both are a 500 from a store.
    if _ESCAPED.search(text) and _is_unfit(said):
        refuse(400, "a text has a zero, or half of a letter (surrogate)")
    return said


def _is_unfit(said: Any) -> bool:
    if isinstance(said, str):
        return any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in said)
    if isinstance(said, dict):
        return any(map(_is_unfit, said)) or any(map(_is_unfit, said.values()))
    return isinstance(said, list) and any(map(_is_unfit, said))


def parsed(text: bytes, visitor: str) -> Said:
    """Read `{visitor, statements}`, a statement, or an array of them; `visitor` is the word of the address."""
    said = read_json(text)
    if isinstance(said, dict) and "statements" in said:
        visitor = said.get("visitor") or visitor
        said = said["statements"]
    several = said if isinstance(said, list) else [said]
    if not isinstance(visitor, str):
        refuse(400, "the visitor's word is a text")
    if not all(isinstance(one, dict) for one in several) or not 0 < len(several) <= _MOST:
        refuse(400, f"a statement, or an array of up to {_MOST}")
    return Said(several, visitor)


def completed(said: Mapping[str, Any], who: Mapping[str, Any] | None, origin: str, settings: Settings) -> Statement:
    """Return the statement with its actor, and with an id that a repetition has too, but nobody else's statement.

    The session's id is that of its `initialized`, so that it changes with it.
    """
    _check(said, settings)
    known = who or {"account": {"homePage": origin, "name": f"anonymous-{session(said) or uuid.uuid4()}"}}
    given = {field: _only(said[field], names) for field, names in _FIELDS.items() if field in said}
    if begun := session(said):
        context = given["context"]
        given["context"] = {**context, "extensions": {**context["extensions"], _SESSION: _id(known, begun)}}
    own = said.get("id") if isinstance(said.get("id"), str) else str(uuid.uuid4())
    who_and_when = {"actor": {"objectType": "Agent", **known}, "timestamp": _not_later_than_now(said.get("timestamp"))}
    return {"id": _id(known, str(own)), **who_and_when, **given}


def session(said: Mapping[str, Any]) -> str | None:
    """Return the id of a statement's session, as the browser has it."""
    value: Any = said
    for name in ("context", "extensions", _SESSION):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) and len(value) <= 64 else None


def _check(said: Mapping[str, Any], settings: Settings) -> None:
    verb, activity = (_id_of(said.get(field)) for field in ("verb", "object"))
    if verb not in _VERBS:
        refuse(400, f"{verb[:200] or 'nothing'} is no verb of a player")
    allowed = settings.xapi_tracker_activities or tuple(f"{one}/" for one in settings.xapi_tracker_origins)
    if not activity.startswith(allowed):
        refuse(403, f"{activity[:200] or 'nothing'} is not to be spoken of: see AMPHIPOD_XAPI_TRACKER_ACTIVITIES")
    for part in _FIELDS:
        if part in said and not _is_table(said[part]):
            refuse(400, f"{part} is not what xAPI has there")
    for (part, name), fits in _SHAPES.items():
        if name in said.get(part, {}) and not fits(said[part][name]):
            refuse(400, f"{part}.{name} is not what xAPI has there")


def _id_of(value: object) -> str:
    found = value.get("id") if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else ""


def _only(value: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value[name] for name in names if name in value}


def _id(who: Mapping[str, Any], own: str) -> str:
    """Return an id for what a person's browser calls so: a version 4 UUID, the only one that the Profile takes."""
    digest = hashlib.sha256(json.dumps([who, own], sort_keys=True).encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def _not_later_than_now(said: object) -> str:
    """Return a timestamp; a browser's clock may be wrong, and a store keeps what lies ahead at the top for ever."""
    now = datetime.now(UTC)
    try:
        when = datetime.fromisoformat(said) if isinstance(said, str) else now
        if not when.tzinfo or when > now:
            return now.isoformat()
        return str(said) if _ISO.fullmatch(str(said)) else when.isoformat()
    except ValueError:
        return now.isoformat()
