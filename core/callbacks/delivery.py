"""Tells a portal: one try, its record before and after, and when the next one is due."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import structlog

from core import backoff, measures
from core.errors import AmphipodError, BadSettings, BadSource
from core.http import client, strangers
from core.http.client import Answer
from core.model import Manifest, State, StepResult, now
from core.retention import holdings
from core.settings import Settings
from core.storage import deliveries, job_state
from core.storage.deliveries import Delivery
from core.storage.job_folder import JobFolder
from core.storage.job_state import FINISH

#: Says to the receiver which of its requests this is about.
CORRELATION_HEADER = "X-Correlation-ID"

_log = structlog.get_logger()


@dataclass(frozen=True)
class Verdict:
    """What a try came to.

    taken: the receiver has it. again: it failed, and may succeed later. mend: it fails until an operator mends the
    configuration, a token say; tried again all the same. refused: it never will. withheld: a newer job has published
    into the same folder, and reports instead.
    """

    fate: Literal["taken", "again", "mend", "refused", "withheld"]
    words: str


@dataclass
class Case:
    """What a contract needs to know, and its one way to tell."""

    settings: Settings
    folder: JobFolder
    manifest: Manifest
    #: How the run ended that is told of.
    finished: StepResult
    #: As it was before this try.
    delivery: Delivery
    answer: Answer | None = None
    #: By this host's monotonic clock.
    began: float = field(default_factory=time.monotonic)

    @property
    def run(self) -> int:
        return self.finished.run

    @property
    def state(self) -> State:
        return self.finished.state

    @property
    def reason(self) -> str | None:
        return self.finished.reason

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send JSON; whoever comes after a crash will know that it was sent."""
        deliveries.save(
            self.folder, self.delivery.model_copy(update={"tries": self.delivery.tries + 1, "uncertain": True})
        )
        headers = {**headers, CORRELATION_HEADER: self.manifest.job.correlation}
        only_public = self.delivery.callback.guarded and strangers.is_one(url, self.settings)
        try:
            self.answer = client.post(url, body, headers, self.settings, only_public=only_public)
        except BadSource as error:
            remedy = "name the host in AMPHIPOD_NOTIFY_HOSTS on hosts of `callbacks` if it is yours"
            raise BadSettings(error.message, remedy=remedy) from error
        return self.answer


#: Tells a receiver of one kind; it may raise an AmphipodError, whose words are then the obstacle to be mended.
Contract = Callable[[Case], Verdict]


def attempt(
    settings: Settings, folder: JobFolder, name: str, contracts: Mapping[str, Contract]
) -> tuple[Delivery, float | None]:
    """Make one try at a delivery. Returns its record, and the seconds until the next try; None when it is settled."""
    delivery = deliveries.read(folder, name)
    if delivery.state != "due":
        return delivery, None
    finished = job_state.result(folder, FINISH, deliveries.run_of(delivery))
    assert finished
    case = Case(settings, folder, job_state.fold(folder), finished, delivery)
    contract = contracts.get(delivery.callback.kind)
    if contract is None:
        return _settle(case, Verdict("mend", f"no contract {delivery.callback.kind!r} on this host"))
    try:
        verdict = contract(case)
    except (AmphipodError, OSError) as error:
        verdict = Verdict("mend", str(error))
    return _settle(case, verdict)


def _settle(case: Case, verdict: Verdict) -> tuple[Delivery, float | None]:
    delivery, settings = case.delivery, case.settings
    measures.callback_tried(delivery.callback.kind, verdict.fate)
    after = delivery.model_copy(
        update={
            "tries": delivery.tries + 1,
            "uncertain": case.answer.unclear if case.answer else delivery.uncertain,
            "answer": verdict.words,
            "answered_at": now(),
        }
    )
    log = _log.bind(
        job=case.folder.id,
        correlation_id=case.manifest.job.correlation,
        step=deliveries.DELIVER,
        callback=_without_query(delivery.callback.url),
        delivery=delivery.id,
        kind=delivery.callback.kind,
        state=str(case.state),
        answer=verdict.words,
    )
    wait = None
    if verdict.fate in ("taken", "withheld"):
        after = after.model_copy(update={"state": "delivered" if verdict.fate == "taken" else "withheld"})
        log.info("portal told" if verdict.fate == "taken" else "portal not told")
    else:
        wait = _pause(after.tries, settings, case.answer)
        waited = delivery.waited + time.monotonic() - case.began + wait
        after = after.model_copy(update={"waited": waited})
        if verdict.fate == "refused" or waited > settings.callback_patience:
            after, wait = after.model_copy(update={"state": "given_up"}), None
            log.error("portal not told: given up; `amphipod tell` tries again", tries=after.tries)
        elif verdict.fate == "mend":
            log.error("portal not told: somebody has to mend this", tries=after.tries, next_try=round(wait))
        else:
            log.warning("portal not told yet", tries=after.tries, next_try=round(wait))
    deliveries.save(case.folder, after)
    if wait is None:
        holdings.release(settings, case.folder)
    return after, wait


def _without_query(url: str) -> str:
    """Return an address without what may be a secret: a receiver's own query; Esup-Pod's, relative, holds only ids."""
    return url.partition("?")[0] if "://" in url else url


def _pause(tries: int, settings: Settings, answer: Answer | None) -> float:
    first, longest = settings.callback_retry_seconds, settings.callback_longest_delay
    return backoff.pause(tries, first=first, longest=longest, asked=answer.retry_after if answer else None)
