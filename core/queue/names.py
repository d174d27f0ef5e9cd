"""Names of the queues, and what their messages say: ids only, so that a message never goes stale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from core.model import Priority
from core.storage.deliveries import DELIVER
from core.storage.manifest import FINISH

if TYPE_CHECKING:
    import dramatiq

#: Queue of each step, under the names that Esup-Pod's workers have (pod/video_encode_transcript/*_tasks.py,
#: pod/xapi/xapi_tasks.py).
QUEUES: Mapping[str, str] = {
    "compose": "encoding",
    "encode": "encoding",
    "transcribe": "transcripting",
    "emit": "xapi",
    FINISH: "callbacks",
    DELIVER: "callbacks",
}

#: Beside `callbacks`: a portal that does not answer keeps deliveries waiting, and nothing else.
DELIVERIES = "callbacks.deliveries"

#: Queues whose steps fill a machine: a message is fetched only when the host has a slot for it.
HEAVY = ("encoding", "transcripting")

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
    return bare(queue) != QUEUES["emit"]


def job_of(message: dramatiq.MessageProxy | dramatiq.Message[Any]) -> str | None:
    """Return the job that a message is about, None for statements: they belong to no job, and are never logged."""
    return message.args[0] if message.args and isinstance(message.args[0], str) else None


def expand(queues: Iterable[str]) -> set[str]:
    """Return the queues to listen on for bare names on the command line; a full name stands for itself."""
    names: set[str] = set()
    for queue in queues:
        names.update(by_priority(queue) if queue in QUEUES.values() else (queue,))
    return names


def line(step: str, priority: Priority) -> str:
    """Return the full name of the queue that a step's message waits on."""
    return DELIVERIES if step == DELIVER else QUEUES[step] + _SUFFIX[priority]


def message(
    step: str, job: str, priority: Priority = "normal", *, part: str = "", tries: int = 0, reason: str = ""
) -> dramatiq.Message[None]:
    """Return the message that has `step` of a job done, or a part of it.

    `part` is a part's name or `parts.JOIN`, or of `DELIVER` the delivery's id; `tries` counts the passing faults that
    were met so far, `reason` says why it is put back.
    """
    import dramatiq

    return dramatiq.Message(
        queue_name=line(step, priority),
        actor_name=step,
        args=(job,),
        kwargs={"part": part, "tries": tries},
        options={"reason": reason[:_REASON_LIMIT]} if reason else {},
    )
