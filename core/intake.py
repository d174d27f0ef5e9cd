"""From the intake to the stores' outboxes: each statement is checked once, then prepared for each store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from core import statements
from core.errors import AmphipodError, BadCall
from core.manager import Manager
from core.model import Destination, Job, Statement
from core.outbox import Entry, Outbox

#: Lines that are taken at once; the lane's lease is held for as long as they are worked on.
_AT_ONCE = 200

_log = structlog.get_logger()


@dataclass(frozen=True)
class Route:
    """A store and the statements that wait for it."""

    destination: Destination
    outbox: Outbox


def prepare(
    manager: Manager, destinations: Sequence[Destination], built: Sequence[Statement], job: Job | None
) -> dict[str, list[Statement]]:
    """Return what each store is to get, by its name; dropped statements are in none.

    Raises:
        AmphipodError: a plugin failed; nothing may leave.
    """
    return {
        one.name: [ready for each in built if (ready := manager.prepare_statement(each, one, job)) is not None]
        for one in destinations
    }


def pass_on(manager: Manager, routes: Sequence[Route], intake: Outbox, lane: str) -> bool:
    """Move the head of an intake lane to the same lane of the outboxes; False when it was empty.

    Call it with the lane's lease held. A crash in the middle puts statements a second time, under the same ids.
    """
    intake.read_back(lane)
    entries = intake.head(lane, _AT_ONCE).entries
    ready: dict[str, list[str]] = {route.destination.name: [] for route in routes}
    passed = []
    for entry in entries:
        try:
            for name, text in _prepared(manager, routes, entry).items():
                ready[name].append(text)
        except AmphipodError as error:
            _log.warning("statement kept among the dead letters", reason=str(error))
            statements.bury(intake, lane, entry.key, entry.text, str(error))
        else:
            passed.append(entry.key)
    for route in routes:
        texts = ready[route.destination.name]
        route.outbox.put(lane, texts)
        route.outbox.settle(lane, (), dropped=len(passed) - len(texts))
    intake.settle(lane, passed, sent=len(passed))
    return bool(entries)


def _prepared(manager: Manager, routes: Sequence[Route], entry: Entry) -> dict[str, str]:
    statement: Any = json.loads(entry.text)
    if not isinstance(statement, Mapping):
        raise BadCall("not a JSON object")
    if complaint := manager.check_statement(statement):
        raise BadCall(complaint)
    prepared = prepare(manager, [route.destination for route in routes], [statement], None)
    # What no plugin has touched keeps its very text.
    return {
        name: entry.text if one is statement else statements.to_text(one)
        for name, some in prepared.items()
        for one in some
    }
