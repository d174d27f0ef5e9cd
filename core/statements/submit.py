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

from core import settings as settings_module
from core.errors import AmphipodError, BadCall, OutOfReach
from core.model import Statement, now
from core.redis import connection, scripts
from core.redis.keys import NAMESPACE
from core.settings import Settings
from core.settings.redaction import discreet
from core.statements import spool
from core.statements.outbox import FOLDER, PARTITIONS, PUT_AT_ONCE, Outbox
from core.storage import files as storage_files

if TYPE_CHECKING:
    import redis

#: Name of the outbox that statements wait in before they are prepared for each store.
INTAKE = "_intake"

_STORES = f"{NAMESPACE}:statements"

#: What identifies an actor, whatever else is said of them.
_IDENTITY = ("mbox", "mbox_sha1sum", "openid", "account")

_IDS = uuid.UUID("6d4a4f0e-5e0f-4a37-9d5a-3f2f3c8a8f11")


@discreet
def submit_statements(statements: Iterable[Statement], *, settings: Settings | None = None) -> list[str]:
    """Have workers deliver statements to every learning record store; those of one actor arrive in this order.

    Each gets an id and a timestamp unless it has them, so that none is stored twice, however often it is sent. Returns
    the ids once Redis has all of them (or its overflow on disk).

    Raises:
        BadCall: one is not a JSON object, too large or nested too deep; nothing was sent.
        BadSettings: no broker is set.
        PartlyKept: some will be delivered; `rest` holds the others, to be submitted again.
        OutOfReach: Redis does not answer, nothing was sent; calling again is safe.
    """
    settings = settings or settings_module.load()
    ready = [identified(statement) for statement in statements]
    partitions: dict[str, list[tuple[dict[str, Any], str]]] = {}
    for statement in ready:
        text = to_text(statement)
        check(statement, text, settings)
        partitions.setdefault(partition_of(statement), []).append((statement, text))
    left = list(partitions.items())
    try:
        with connection.errors(settings):
            box = outbox(connection.shared(settings), INTAKE, settings)
            while left:
                partition, pairs = left[0]
                while pairs:
                    box.put(partition, [text for _, text in pairs[:PUT_AT_ONCE]])
                    del pairs[:PUT_AT_ONCE]
                del left[0]
    except AmphipodError as error:
        rest = tuple(statement for _, pairs in left for statement, _ in pairs)
        if len(rest) == len(ready):
            raise
        raise PartlyKept(
            f"{len(ready) - len(rest)} of {len(ready)} statements will be delivered, the others not: {error.message}",
            remedy="submit the others again",
            rest=rest,
        ) from error
    return [str(statement["id"]) for statement in ready]


class PartlyKept(OutOfReach):
    """Redis or the disk failed in the middle of a submit: what is not in `rest` will be delivered."""

    def __init__(self, message: str, *, remedy: str, rest: tuple[Statement, ...]) -> None:
        super().__init__(message, remedy=remedy)
        #: The statements that were not kept, under their ids and in their order.
        self.rest = rest


def outbox(client: redis.Redis, name: str, settings: Settings) -> Outbox:
    """Return an outbox; the intake's overflow is written by portals, and read by a worker that may be another user."""
    mode = storage_files.PRIVATE if name == INTAKE else spool.OWN
    return Outbox(client, name, settings.jobs_root, settings.xapi_waiting_limit, mode)


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


def partition_of(statement: Statement) -> str:
    """Return the partition of a statement's actor."""
    actor = statement.get("actor")
    who = {field: actor.get(field) for field in _IDENTITY} if isinstance(actor, Mapping) else actor
    return PARTITIONS[zlib.crc32(json.dumps(who, sort_keys=True, default=str).encode()) % len(PARTITIONS)]


def to_text(statement: Statement) -> str:
    try:
        return json.dumps(statement, separators=(",", ":"), allow_nan=False)
    except RecursionError as error:
        raise BadCall(f"statement {_name(statement)} is nested too deep") from error
    except (TypeError, ValueError) as error:
        raise BadCall(f"statement {_name(statement)} is not JSON: {error}") from error


def check(statement: Statement, text: str, settings: Settings) -> None:
    """Refuse a statement that is too large or nested too deep for those who check and prepare it.

    Raises:
        BadCall
    """
    if len(text) > settings.xapi_statement_limit:
        raise BadCall(
            f"statement {_name(statement)} has {len(text)} bytes",
            remedy=f"send at most {settings.xapi_statement_limit}, or raise AMPHIPOD_XAPI_STATEMENT_LIMIT",
        )
    deepest = settings.xapi_depth_limit
    if text.count("{") + text.count("[") > deepest and _is_deeper(statement, deepest):
        raise BadCall(
            f"statement {_name(statement)} is nested more than {deepest} deep",
            remedy="make it flatter, or raise AMPHIPOD_XAPI_DEPTH_LIMIT",
        )


def _is_deeper(value: object, limit: int) -> bool:
    level: list[object] = [value]
    for _ in range(limit + 1):
        level = [below for one in level for below in _below(one)]
        if not level:
            return False
    return True


def _below(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _name(statement: Statement) -> str:
    return str(statement.get("id"))[:64]


def remember_store(client: redis.Redis, name: str) -> None:
    scripts.run(client, "redis.call('sadd', KEYS[1], ARGV[1])", [_STORES], name)


def stores(client: redis.Redis, settings: Settings, known: Iterable[str] = ()) -> list[str]:
    """Return the names of the outboxes: the intake, and every store that anybody knows of.

    `known` are those of the plugins; what Redis remembers of other hosts, and the disk, say the others.
    """
    remembered = cast("set[str]", client.smembers(_STORES))
    folder = settings.jobs_root / FOLDER
    on_disk = {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
    return [INTAKE, *sorted((remembered | on_disk | set(known)) - {INTAKE})]
