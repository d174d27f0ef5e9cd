"""One lane of one store: batches go out in order, answers are acted on, what failed waits and is tried again."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from itertools import takewhile

import structlog

from core import breaker, lease, statements
from core.breaker import Breaker
from core.errors import AmphipodError, EngineMissing, HookFailed
from core.intake import Route
from core.manager import Manager
from core.model import Receipt, Statement
from core.outbox import Entry
from core.settings import Settings

#: Statements in one request.
BATCH = 100

#: Seconds between two looks at a lane that is empty or has to wait.
LOOK_EVERY = 0.2

#: Seconds without a new statement after which a burst is taken to be over, so that its rest need not wait.
_QUIET = 0.1

_log = structlog.get_logger()


class Store:
    """What the lanes of a store share in this process."""

    def __init__(self, route: Route, manager: Manager, settings: Settings) -> None:
        self.route = route
        self.settings = settings
        self.breaker = Breaker(settings.xapi_longest_delay)
        self._manager = manager
        self._complaint = ""

    def emit(self, batch: Sequence[Statement]) -> Sequence[Receipt]:
        """Have the engine that knows this store deliver a batch."""
        for engine in self._manager.choose("emit"):
            receipts = self._manager.emit_statement(engine, batch, self.route.destination)
            if receipts is not None:
                return receipts
        raise EngineMissing(f"no engine delivers to {self.route.destination.name}", remedy="see `amphipod plugins`")

    def complain(self, words: str) -> None:
        """Say once what keeps the store from taking statements; "" when nothing does any more."""
        if words == self._complaint:
            return
        self._complaint = words
        self.route.outbox.set_alarm(words)
        if words:
            _log.error("statements wait", store=self.route.destination.name, reason=words)
        else:
            _log.info("statements are taken again", store=self.route.destination.name)


class Lane:
    """One of the lanes, and how its last batch fared."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._box = store.route.outbox
        self._name = name
        self._failures = 0
        self._waits_until = 0.0

    def serve(self) -> float:
        """Send one batch if one is due; returns the seconds until it is worth looking again, 0 for at once."""
        if (left := self._waits_until - time.monotonic()) > 0:
            return min(left, LOOK_EVERY)
        if not_due := self._due_in():
            return not_due
        if not self._store.breaker.enter():
            return LOOK_EVERY
        failed: bool | None = None
        last = None
        try:
            name = f"statements.{self._box.name}.{self._name}"
            with lease.hold(self._box.client, name, self._store.settings.lease_seconds) as held:
                self._box.read_back(self._name)
                if batch := self._box.head(self._name, BATCH).entries:  # another worker may have been faster
                    last = self._send(batch)
                    failed = last is not None
                    held.check()
        except lease.LeaseHeld:
            return LOOK_EVERY
        finally:
            self._store.breaker.leave(
                failed=failed,
                after=last.retry_after if last else None,
                for_long=last is not None and last.outcome == "blocked",
            )
        return 0.0 if failed is False else LOOK_EVERY

    def _due_in(self) -> float:
        """Return the seconds for which the next batch may still grow, 0 if it is due."""
        head = self._box.head(self._name, BATCH)
        if head.spooled or len(head.entries) == BATCH:
            return 0.0
        if not head.entries:
            return LOOK_EVERY
        oldest, newest = head.entries[0].put_at, head.entries[-1].put_at
        due = min(oldest + self._store.settings.xapi_batch_seconds, newest + _QUIET) - head.clock
        return min(max(due, 0.0), LOOK_EVERY)

    def _send(self, entries: Sequence[Entry]) -> Receipt | None:
        """Send a batch and act on the receipts; returns the one that stopped it, if any did."""
        batch = _without_repetition(entries)
        sent = [json.loads(entry.text) for entry in batch]
        try:
            receipts = self._store.emit(sent)
            if len(receipts) != len(batch):
                raise HookFailed(f"{len(receipts)} receipts for {len(batch)} statements")
        except AmphipodError as error:
            receipts = [Receipt(statement_id="", outcome="blocked", words=str(error))] * len(batch)
        paired = list(zip(batch, receipts, strict=True))
        settled = list(takewhile(lambda pair: pair[1].outcome in ("delivered", "rejected"), paired))
        for entry, receipt in settled:
            if receipt.outcome == "rejected":
                statements.bury(self._box, self._name, entry.key, entry.text, receipt.words)
        delivered = [entry.key for entry, receipt in settled if receipt.outcome == "delivered"]
        stopped = paired[len(settled)][1] if len(settled) < len(paired) else None
        self._box.settle(self._name, delivered, sent=len(delivered), retried=len(paired) - len(settled))
        self._store.complain(stopped.words if stopped else "")
        self._failures = self._failures + 1 if stopped else 0
        if stopped:
            wait = breaker.pause(self._failures, self._store.settings.xapi_longest_delay, stopped.retry_after)
            self._waits_until = time.monotonic() + wait
        return stopped


def _without_repetition(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries before the first that has been there: no store takes an id twice in one request."""
    batch: dict[str, Entry] = {}
    for entry in entries:
        if entry.text in batch:
            break
        batch[entry.text] = entry
    return list(batch.values())
