"""Names of the queues, and what their messages say: ids only, so that a message never goes stale."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from core.model import BUILT_IN as STEPS
from core.model import STEP_NAME, Job, Priority
from core.redis.keys import NAMESPACE
from core.storage.deliveries import DELIVER
from core.storage.job_state import FINISH

if TYPE_CHECKING:
    import dramatiq

#: Queue of publishing and of telling portals.
CALLBACKS = "callbacks"

#: Of statements, and of the step that says what a job did.
STATEMENTS = "xapi"

#: Queues that are there whichever plugins are.
BUILT_IN: tuple[str, ...] = (*dict.fromkeys(spec.queue for spec in STEPS), CALLBACKS)

#: Beside `callbacks`: a portal that does not answer keeps deliveries waiting, and nothing else.
DELIVERIES = "callbacks.deliveries"

#: Set of the bare names of queues that plugins' steps were sent to.
BROUGHT = f"{NAMESPACE}:queues"

#: Actor that takes statements from portals that send Dramatiq messages; all others are about jobs.
EMIT_STATEMENT = "emit_statement"

#: Actor that takes what no plugin here knows.
UNKNOWN_STEP = "-"

#: Priorities are queues of their own beside the bare one, because Dramatiq orders only what a worker has in memory.
_SUFFIX: Mapping[Priority, str] = {"high": ".high", "normal": "", "low": ".low"}

_DELAYED = ".DQ"

#: Characters of the reason that a message which was put back carries for a person.
_REASON_LIMIT = 300


def by_priority(queue: str) -> tuple[str, ...]:
    """Return the queues that a bare name stands for, the most urgent first."""
    family = tuple(queue + suffix for suffix in _SUFFIX.values())
    return (*family, DELIVERIES) if queue == bare(DELIVERIES) else family


def bare(queue: str) -> str:
    """Return the bare name of a queue, of those beside it and of their delayed messages."""
    return queue.partition(".")[0]


def is_delayed(queue: str) -> bool:
    """Tell Dramatiq's companion queue of messages that wait for their time."""
    return queue.endswith(_DELAYED)


def is_of_jobs(queue: str) -> bool:
    """Tell whether each message of a queue is about a job, whose folder a worker must see; statements have none."""
    return bare(queue) != STATEMENTS


def job_of(message: dramatiq.MessageProxy | dramatiq.Message[Any]) -> str | None:
    """Return the job that a message is about, None for statements: they belong to no job, and are never logged."""
    return message.args[0] if message.args and isinstance(message.args[0], str) else None


def expand(queues: Iterable[str]) -> set[str]:
    """Return the queues to listen on for bare names on the command line; a full name stands for itself."""
    names: set[str] = set()
    for queue in queues:
        names.update(by_priority(queue) if queue == bare(queue) else (queue,))
    return names


def is_step(actor: str) -> bool:
    """Tell whether an actor may be that of a plugin's step."""
    return re.fullmatch(STEP_NAME, actor) is not None


def queue_of(step: str, job: Job) -> str:
    """Return the bare name of the queue of a job's step, or of what follows its steps."""
    return CALLBACKS if step in (FINISH, DELIVER) else job.spec(step).queue


def full(queue: str, priority: Priority) -> str:
    """Return the name of the queue on which what is this urgent waits."""
    return queue + _SUFFIX[priority]


def message(
    step: str,
    job: str,
    queue: str,
    priority: Priority = "normal",
    *,
    part: str = "",
    tries: int = 0,
    reason: str = "",
) -> dramatiq.Message[None]:
    """Return the message that has `step` of a job done, or a part of it; `queue` is the step's, by its bare name.

    `part` is a part's name or `parts.JOIN`, or of `DELIVER` the delivery's id; `tries` counts the passing faults that
    were met so far, `reason` says why it is put back.
    """
    import dramatiq

    return dramatiq.Message(
        queue_name=DELIVERIES if step == DELIVER else full(queue, priority),
        actor_name=step,
        args=(job,),
        kwargs={"part": part, "tries": tries},
        options={"reason": reason[:_REASON_LIMIT]} if reason else {},
    )
