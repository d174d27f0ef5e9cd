"""The step `emit`: what a job has to say goes to the stores' outboxes, or without a queue straight to the stores.

It opens no media and needs the stores' passwords, which no child process gets, so it is done where the job is driven.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import OutOfReach, Permanent
from core.model import Destination, Engine, Job, Manifest, Plan, Statement, StepOutput
from core.plugin_host.manager import Manager
from core.redis import connection
from core.settings import Settings
from core.statements import submit
from core.statements.router import prepare


def run(manager: Manager, settings: Settings, job: Job, plan: Plan, whole: Manifest) -> tuple[Engine, StepOutput]:
    """Build, prepare and hand over the statements of a job.

    Their ids and times follow from the job, so that an attempt that is made again says nothing twice.

    Raises:
        OutOfReach: a store does not take them now, or Redis is away.
        Permanent: a store refused one.
    """
    built: list[Statement] = [
        submit.identified(one, seed=f"{job.id} {number}", at=job.created_at)
        for number, one in enumerate(manager.build_statements(job, whole))
    ]
    destinations = manager.statement_destinations()
    ready = prepare(manager, destinations, built, job)
    notes = []
    for destination in destinations:
        mine = ready[destination.name]
        if settings.broker_url:
            _put(settings, destination, mine)
        else:
            _deliver(manager, plan, destination, mine)
        verb = "wait for" if settings.broker_url else "delivered to"
        notes.append(f"{len(mine)} statements {verb} {destination.name}")
        if len(mine) < len(built):
            notes.append(f"{len(built) - len(mine)} of {len(built)} statements dropped by a plugin")
    if not destinations:
        notes.append("no record store is set: nothing was sent")
    output = StepOutput(artifacts=(), facts={"statements": len(built)}, notes=tuple(notes))
    return plan.engines[0], output


def _put(settings: Settings, destination: Destination, ready: Sequence[Statement]) -> None:
    with connection.errors(settings):
        box = submit.outbox(connection.shared(settings), destination.name, settings)
        for one in ready:
            box.put(submit.partition_of(one), [submit.to_text(one)])


def _deliver(manager: Manager, plan: Plan, destination: Destination, ready: Sequence[Statement]) -> None:
    answers = (manager.emit_statement(engine.plugin, ready, destination) for engine in plan.engines)
    receipts = next((answer for answer in answers if answer is not None), None)
    if receipts is None:
        raise Permanent(f"no engine delivers to {destination.name}", remedy="see `amphipod plugins`", step="emit")
    for receipt in receipts:
        if receipt.outcome in ("retry", "blocked"):
            raise OutOfReach(receipt.words or f"{destination.url} takes no statements now", step="emit")
        if receipt.outcome == "rejected":
            raise Permanent(
                f"{destination.name} refused statement {receipt.statement_id}: {receipt.words}", step="emit"
            )
