"""One partition of one store: batches go out in order, answers are acted on, what failed waits and is tried again."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import structlog

from core.errors import AmphipodError, EngineMissing, HookFailed
from core.model import Receipt, Statement
from core.pipeline import planning
from core.plugin_host.manager import Manager
from core.queue import lease
from core.settings import Settings
from core.statements import circuit_breaker, dead_letters
from core.statements.circuit_breaker import Breaker
from core.statements.isolation import Isolation
from core.statements.outbox import Entry
from core.statements.router import Route

#: Statements in one request.
BATCH = 100

#: Seconds between two looks at a partition that is empty or has to wait.
LOOK_EVERY = 0.2

#: Seconds without a new statement after which a burst is taken to be over, so that its rest need not wait.
_QUIET = 0.1

_log = structlog.get_logger()


class Store:
    """What the partitions of a store share in this process."""

    def __init__(self, route: Route, manager: Manager, settings: Settings) -> None:
        self.route = route
        self.settings = settings
        self.breaker = Breaker(settings.xapi_longest_delay)
        self._manager = manager
        self._complaints: dict[str, str] = {}

    def emit(self, batch: Sequence[Statement]) -> Sequence[Receipt]:
        """Have the engine that knows this store deliver a batch."""
        for engine in planning.choose(self._manager, "emit"):
            receipts = self._manager.emit_statement(engine, batch, self.route.destination)
            if receipts is not None:
                return receipts
        raise EngineMissing(f"no engine delivers to {self.route.destination.name}", remedy="see `amphipod plugins`")

    def complain(self, partition: str, words: str) -> None:
        """Log once what keeps the store from taking a partition's statements; "" when nothing does any more."""
        known = set(self._complaints.values())
        if words:
            self._complaints[partition] = words
        elif self._complaints.pop(partition, None) is None:
            return
        if words and words not in known:
            _log.error("statements wait", store=self.route.destination.name, reason=words)
        elif not self._complaints:
            _log.info("statements are taken again", store=self.route.destination.name)

    def complains(self, partition: str) -> bool:
        return partition in self._complaints


class Partition:
    """One of the partitions, and how its last batch fared."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._box = store.route.outbox
        self._name = name
        self._failures = 0
        self._probes = 0
        self._waits_until = 0.0
        self._isolation = Isolation(BATCH)

    def serve(self) -> float:
        """Send one batch if one is due; returns the seconds until it is worth looking again, 0 for at once."""
        if (left := self._waits_until - time.monotonic()) > 0:
            return min(left, LOOK_EVERY)
        if not_due := self._due_in():
            return not_due
        if not self._store.breaker.enter(self._name):
            return LOOK_EVERY
        end = _End()
        try:
            name = f"statements.{self._box.name}.{self._name}"
            with lease.hold(self._box.client, name, self._store.settings.lease_seconds) as held:
                self._box.read_back(self._name)
                # Another worker may have been faster.
                if batch := self._box.head(self._name, self._isolation.batch).entries:
                    end = self._send(batch)
                    held.check()
        except lease.LeaseHeld:
            return LOOK_EVERY
        except AmphipodError as error:  # nowhere to write a dead letter, say
            self._box.settle(self._name, (), alarm=str(error))
            raise
        finally:
            last = end.stopped
            self._store.breaker.leave(
                self._name,
                failed=end.failed,
                after=last.retry_after if last else None,
                for_long=last is not None and last.outcome == "blocked" and last.store_wide,
            )
        return LOOK_EVERY if end.stopped or end.failed is None else 0.0

    def _due_in(self) -> float:
        """Return the seconds for which the next batch may still grow, 0 if it is due."""
        wanted = self._isolation.batch
        head = self._box.head(self._name, wanted)
        if head.spooled or len(head.entries) == wanted:
            return 0.0
        if not head.entries:
            if self._store.complains(self._name):  # another worker has delivered what could not be
                self._store.complain(self._name, "")
            return LOOK_EVERY
        oldest, newest = head.entries[0].put_at, head.entries[-1].put_at
        longest = self._store.settings.xapi_batch_seconds
        due = min(oldest + longest, newest + _QUIET) - head.clock
        # More is left only where Redis' clock was set back; it would be waited for as long as that.
        return min(max(due, 0.0), LOOK_EVERY) if due <= longest else 0.0

    def _send(self, entries: Sequence[Entry]) -> _End:
        """Send a batch and act on the receipts."""
        sent = self._box.sent()
        batch, unreadable = _readable(_without_repetition(entries))
        self._set_aside([(entry, "not a statement") for entry in unreadable])
        if not batch:
            return _End(failed=None)
        paired = list(zip(batch, self._emit(batch), strict=True))
        settled = list(takewhile(lambda pair: pair[1].outcome in ("delivered", "rejected"), paired))
        delivered = [entry.key for entry, receipt in settled if receipt.outcome == "delivered"]
        refused = [(entry, receipt.words) for entry, receipt in settled if receipt.outcome == "rejected"]
        if refused and (self._isolation.is_accusing or not delivered):
            self._isolation.accuse(refused[0][0].key, sent, sent if delivered else self._box.sent())
            if not self._isolation.tries:
                return self._keep_refused(paired, refused, delivered)
        self._set_aside(refused)
        self._isolation.settled(len(settled))
        self._failures = 0 if settled else self._failures
        rest = paired[len(settled) :]
        if not rest:
            self._box.settle(self._name, delivered, sent=len(delivered))
            self._store.complain(self._name, "")
            return _End(failed=False)
        self._box.settle(self._name, delivered, sent=len(delivered), alarm=rest[0][1].words)
        return self._doubt(rest, sent)

    def _keep_refused(
        self, paired: Sequence[tuple[Entry, Receipt]], refused: Sequence[tuple[Entry, str]], delivered: Sequence[str]
    ) -> _End:
        """Keep what was refused though the store had taken no other before: it may be the store, or its settings here.

        It is asked again once it takes another; what it refuses then is refused for good.
        """
        words = f"{self._store.route.destination.url} refuses every statement ({refused[0][1]})"
        blocked = Receipt(statement_id="", outcome="blocked", words=words)
        away = next((receipt for _, receipt in paired if receipt.outcome == "retry"), None)
        end = self._hold(paired, away or blocked, failed=True)
        if delivered:
            self._box.settle(self._name, delivered, sent=len(delivered), alarm=words)
        elif not self._probe([entry for entry, _ in refused]):
            return end
        self._waits_until = 0.0
        return replace(end, failed=False)

    def _emit(self, batch: Sequence[Entry]) -> Sequence[Receipt]:
        try:
            receipts = self._store.emit([json.loads(entry.text) for entry in batch])
            if len(receipts) != len(batch):
                raise HookFailed(f"{len(receipts)} receipts for {len(batch)} statements")
        except AmphipodError as error:
            fault = Receipt(statement_id="", outcome="blocked", words=str(error), store_wide=True)
            return [fault] * len(batch)
        return receipts

    def _doubt(self, rest: Sequence[tuple[Entry, Receipt]], sent: int) -> _End:
        """Find out whether it is the store that does not take what is left of a batch, or one statement.

        `sent` is what the store had taken before.
        """
        entry, stopped = rest[0]
        if stopped.store_wide or not self._isolation.failed(len(rest)):
            return self._hold(rest, stopped, failed=True)
        before = self._isolation.tries
        self._isolation.accuse(entry.key, sent, self._box.sent())
        if self._isolation.tries == before:
            self._probe([entry])  # what it tells counts at the next try: the store may just have been mended
        told = self._store.settings
        if self._isolation.is_proven(told.xapi_statement_tries, told.xapi_statement_patience):
            words = f"failed {self._isolation.tries} times, while the store took others: {stopped.words}"
            self._set_aside([(entry, words)])
            self._isolation.settled(1)
            self._store.complain(self._name, "")
            self._failures = 0
            return _End(failed=None)
        if not self._isolation.tries:
            return self._hold(rest, stopped, failed=True)
        self._failures = self._isolation.tries - 1
        words = f"one statement is not taken, others are: {stopped.words}"
        return self._hold(rest, stopped.model_copy(update={"words": words}), failed=None)

    def _probe(self, but: Sequence[Entry]) -> bool:
        """Send one other statement of this partition, of another actor if there is one; tells whether it was taken."""
        keys = {entry.key for entry in but}
        others, _ = _readable([one for one in self._box.head(self._name, BATCH).entries if one.key not in keys])
        if not others:
            return False
        first = _first_of_each_actor(others, {_actor(entry) for entry in but}) or others
        self._probes += 1
        entry = first[self._probes % len(first)]
        (receipt,) = self._emit([entry])
        if receipt.outcome == "delivered":
            self._box.settle(self._name, [entry.key], sent=1)
        return receipt.outcome == "delivered"

    def _hold(self, rest: Sequence[tuple[Entry, Receipt]], stopped: Receipt, *, failed: bool | None) -> _End:
        """Keep what was not taken at the head of the partition, for a while."""
        self._box.settle(self._name, (), retried=len(rest), alarm=stopped.words)
        self._store.complain(self._name, stopped.words)
        self._failures += 1
        longest = self._store.settings.xapi_longest_delay
        self._waits_until = time.monotonic() + circuit_breaker.pause(self._failures, longest, stopped.retry_after)
        return _End(failed=failed, stopped=stopped)

    def _set_aside(self, refused: Sequence[tuple[Entry, str]]) -> None:
        dead_letters.bury(self._box, self._name, refused)
        if refused:
            self._box.settle(self._name, [entry.key for entry, _ in refused])


@dataclass(frozen=True)
class _End:
    """How a batch ended: whether the store failed (None: that can't be told), and what stopped it, if anything did."""

    failed: bool | None = None
    stopped: Receipt | None = None


def _readable(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Tell the statements from lines that are none."""
    read: dict[bool, list[Entry]] = {True: [], False: []}
    for entry in entries:
        try:
            read[isinstance(json.loads(entry.text), dict)].append(entry)
        except (ValueError, RecursionError):
            read[False].append(entry)
    return read[True], read[False]


def _actor(entry: Entry) -> str:
    return json.dumps(json.loads(entry.text).get("actor"), sort_keys=True)


def _first_of_each_actor(entries: Sequence[Entry], seen: set[str]) -> list[Entry]:
    """Return the first statement of each actor but those seen: sent ahead, it overtakes none of its actor's."""
    first: dict[str, Entry] = {}
    for entry in entries:
        first.setdefault(_actor(entry), entry)
    return [entry for actor, entry in first.items() if actor not in seen]


def _without_repetition(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries before the first that has been there: no store takes an id twice in one request."""
    batch: dict[str, Entry] = {}
    for entry in entries:
        if entry.text in batch:
            break
        batch[entry.text] = entry
    return list(batch.values())
