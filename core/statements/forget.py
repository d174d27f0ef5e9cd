"""A person's wish to be forgotten: what waits of them and what is dead goes, in every outbox."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.errors import OutOfReach
from core.plugin_host.manager import Manager
from core.queue import lease
from core.settings import Settings
from core.statements import dead_letters, people
from core.statements.outbox import PARTITIONS, Outbox
from core.statements.submit import INTAKE

#: Seconds for which a partition is waited for that a worker has in hand.
_PATIENCE = 30.0

#: Passes every store's filter, and makes no plugin look for a film.
_PROBE: Mapping[str, Any] = {
    "id": "00000000-0000-4000-8000-000000000000",
    "verb": {"id": "http://adlnet.gov/expapi/verbs/voided"},
    "object": {"objectType": "StatementRef", "id": "00000000-0000-4000-8000-000000000000"},
}


def everywhere(
    agent: Mapping[str, Any], boxes: Sequence[Outbox], manager: Manager, settings: Settings
) -> dict[str, int]:
    """Remove the waiting and the dead statements in which a person is; returns how many, by outbox.

    In a store's outbox they are looked for under the pseudonym, too, that the store is given now.

    Raises:
        OutOfReach: a partition stays in a worker's hand; what was removed before stays so.
    """
    names = frozenset(people.identities(agent))
    hidden = {
        one.name: frozenset(people.identities(_prepared(agent, manager, one.name)))
        for one in manager.statement_destinations()
    }
    found = {}
    for box in boxes:
        wanted = names | hidden.get(box.name, frozenset())
        found[box.name] = _in(box, _meant(wanted), settings) + dead_letters.drop(
            box,
            lambda letter, wanted=wanted: people.speaks_of(dead_letters.statement_of(letter), wanted),  # type: ignore[misc]
        )
    return found


def _prepared(agent: Mapping[str, Any], manager: Manager, store: str) -> Any:
    """Return the agent as a store gets it."""
    (destination,) = (one for one in manager.statement_destinations() if one.name == store)
    ready = manager.prepare_statement({**_PROBE, "actor": agent}, destination, None)
    return ready.get("actor") if ready is not None else None


def _meant(wanted: frozenset[str]) -> Callable[[str], bool]:
    def is_meant(text: str) -> bool:
        try:
            return people.speaks_of(json.loads(text), wanted)
        except (ValueError, RecursionError):
            return False

    return is_meant


def _in(box: Outbox, is_meant: Callable[[str], bool], settings: Settings) -> int:
    removed = 0
    for partition in PARTITIONS:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                with lease.hold(box.client, _lease(box, partition), settings.lease_seconds):
                    removed += box.take_out(partition, is_meant)
                break
            except lease.LeaseHeld:
                if time.monotonic() > until:
                    raise OutOfReach(
                        f"a worker has partition {partition} of {box.name} in hand",
                        remedy="do it again, or stop the worker",
                    ) from None
                time.sleep(0.05)
    return removed


def _lease(box: Outbox, partition: str) -> str:
    return f"statements.intake.{partition}" if box.name == INTAKE else f"statements.{box.name}.{partition}"
