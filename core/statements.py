"""A portal's side of statements: give each its identity, and put it where workers of the queue `xapi` take it.

Importing it needs neither ralph nor redis; a statement is checked, prepared and delivered by the workers.
"""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from core import connection
from core import settings as settings_module
from core.errors import BadCall
from core.model import Statement, now
from core.outbox import DEAD, LANES, Outbox
from core.queues import NAMESPACE
from core.settings import Settings

if TYPE_CHECKING:
    import redis

#: Name of the outbox that statements wait in before they are prepared for each store.
INTAKE = "_intake"

_STORES = f"{NAMESPACE}:statements"

#: What identifies an actor, whatever else is said of them.
_IDENTITY = ("mbox", "mbox_sha1sum", "openid", "account")

_IDS = uuid.UUID("6d4a4f0e-5e0f-4a37-9d5a-3f2f3c8a8f11")


def submit_statements(statements: Iterable[Statement], *, settings: Settings | None = None) -> list[str]:
    """Have workers deliver statements to every learning record store; those of one actor arrive in this order.

    Each gets an id and a timestamp unless it has them, so that none is stored twice, however often it is sent. Returns
    the ids once Redis has all of them (or its overflow on disk).

    Raises:
        BadCall: one is not a JSON object; nothing was sent.
        BadSettings: no broker is set.
        OutOfReach: Redis does not answer; calling again with the ids that they have is safe.
    """
    settings = settings or settings_module.load()
    ready = [identified(statement) for statement in statements]
    lanes: dict[str, list[str]] = {}
    for statement in ready:
        lanes.setdefault(lane_of(statement), []).append(to_text(statement))
    with connection.errors(settings):
        box = outbox(connection.shared(settings), INTAKE, settings)
        for lane, texts in lanes.items():
            box.put(lane, texts)
    return [str(statement["id"]) for statement in ready]


def outbox(client: redis.Redis, name: str, settings: Settings) -> Outbox:
    return Outbox(client, name, settings.jobs_root, settings.xapi_waiting_limit)


def identified(statement: Any, *, seed: str | None = None, at: datetime | None = None) -> dict[str, Any]:
    """Return the statement with an id and a timestamp: those it has, or new ones.

    With a `seed` the id is the same each time.
    """
    if not isinstance(statement, Mapping):
        raise BadCall(f"a statement is a JSON object, not {type(statement).__name__}")
    fresh = uuid.uuid5(_IDS, seed) if seed else uuid.uuid4()
    return {**statement} | {
        field: value
        for field, value in (("id", str(fresh)), ("timestamp", (at or now()).isoformat()))
        if field not in statement
    }


def lane_of(statement: Statement) -> str:
    """Return the lane of a statement's actor."""
    actor = statement.get("actor")
    who = {field: actor.get(field) for field in _IDENTITY} if isinstance(actor, Mapping) else actor
    return LANES[zlib.crc32(json.dumps(who, sort_keys=True, default=str).encode()) % len(LANES)]


def to_text(statement: Statement) -> str:
    try:
        return json.dumps(statement, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadCall(f"statement {statement.get('id')} is not JSON: {error}") from error


# Dead letters


def bury(box: Outbox, lane: str, key: str, text: str, words: str) -> None:
    """Move a line from a lane to the dead letters, with the words of whoever refused it."""
    letter = {"store": box.name, "at": now().isoformat(), "words": words, "lane": lane, "text": text}
    box.put(DEAD, [json.dumps(letter)])
    box.settle(lane, [key])


def dead_letters(box: Outbox, count: int = 1000) -> list[dict[str, Any]]:
    """Return the oldest dead letters: `{store, at, words, statement}`."""
    letters = [json.loads(entry.text) for entry in box.head(DEAD, count).entries]
    return [
        {"store": one["store"], "at": one["at"], "words": one["words"], "statement": _statement(one["text"])}
        for one in letters
    ]


def _statement(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def retry_dead(box: Outbox) -> int:
    """Put all dead letters back on the lanes that they came from; returns their number."""
    retried = 0
    box.find_spooled(DEAD)
    while True:
        entries = box.head(DEAD, 500).entries
        for entry in entries:
            letter = json.loads(entry.text)
            box.put(letter["lane"], [letter["text"]])
            box.settle(DEAD, [entry.key])
        retried += len(entries)
        box.read_back(DEAD)
        if not entries and not box.head(DEAD, 1).entries:
            return retried


def remember_store(client: redis.Redis, name: str) -> None:
    client.sadd(_STORES, name)


def stores(client: redis.Redis) -> list[str]:
    """Return the names of the outboxes: the intake, and every store that a worker has ever known."""
    return [INTAKE, *sorted(cast("set[str]", client.smembers(_STORES)) - {INTAKE})]
