"""From the intake to the stores' outboxes: each statement is checked once, then prepared for each store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from core.errors import AmphipodError, BadCall
from core.model import Destination, Job, Statement
from core.plugin_host.manager import Manager
from core.redis import connection
from core.settings import Settings
from core.statements import dead_letters, submit, watched
from core.statements.outbox import PARTITIONS, Entry, Outbox

#: Lines that are taken at once; the partition's lease is held for as long as they are worked on.
_AT_ONCE = 200


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


def take(said: Sequence[Any], settings: Settings, *, seed: str, at: datetime) -> None:
    """Submit what a message brings; what is refused is set aside, because nobody would hear of it.

    Ids follow from the `seed`, so that a message that comes twice brings nothing twice.
    """
    ready: list[Statement] = []
    refused: list[tuple[Entry, str]] = []
    for number, one in enumerate(said):
        try:
            statement = submit.identified(one, seed=f"{seed} {number}", at=at)
            submit.check(statement, submit.to_text(statement), settings)
        except BadCall as error:
            refused.append((Entry("", _text(one)), str(error)))
        else:
            ready.append(statement)
    submit.submit_statements(ready, settings=settings)
    box = submit.outbox(connection.shared(settings), submit.INTAKE, settings)
    dead_letters.bury(box, PARTITIONS[0], refused)


def _text(said: object) -> str:
    try:
        return json.dumps(said)
    except (TypeError, ValueError, RecursionError):
        return "what can't be written as JSON"


def pass_on(manager: Manager, routes: Sequence[Route], intake: Outbox, partition: str, settings: Settings) -> bool:
    """Move the head of an intake partition to the same partition of the outboxes; False when it was empty.

    What a plugin refuses, fails on or takes too long for is set aside, with the reason, and the others go on. Call it
    with the partition's lease held. A crash in the middle puts statements a second time, under the same ids.
    """
    intake.read_back(partition)
    entries = intake.head(partition, _AT_ONCE).entries
    if not entries:
        return False
    work = partial(_prepared, manager, routes, settings)
    ready: dict[str, list[str]] = {route.destination.name: [] for route in routes}
    refused: list[tuple[Entry, str]] = []
    for entry, outcome in zip(entries, watched.each(work, entries, settings.xapi_preparation_limit), strict=True):
        if isinstance(outcome, Exception):
            refused.append((entry, _reason(outcome)))
            continue
        for name, text in outcome.items():
            ready[name].append(text)
    dead_letters.bury(intake, partition, refused)
    passed = len(entries) - len(refused)
    for route in routes:
        texts = ready[route.destination.name]
        route.outbox.put(partition, texts)
        if passed > len(texts):
            route.outbox.count_dropped(passed - len(texts))
    intake.settle(partition, [entry.key for entry in entries], sent=passed)
    return True


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, AmphipodError) else f"{type(error).__name__}: {error}"


def _prepared(manager: Manager, routes: Sequence[Route], settings: Settings, entry: Entry) -> dict[str, str]:
    statement: Any = json.loads(entry.text)
    if not isinstance(statement, Mapping):
        raise BadCall("not a JSON object")
    submit.check(statement, entry.text, settings)
    if complaint := manager.check_statement(statement):
        raise BadCall(complaint)
    prepared = prepare(manager, [route.destination for route in routes], [statement], None)
    # What no plugin has touched keeps its very text.
    return {
        name: entry.text if one is statement else submit.to_text(one) for name, some in prepared.items() for one in some
    }
