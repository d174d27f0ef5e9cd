"""Kinds of steps: each is declared once, and queues, actors, children, commands and pages read it here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from core.model.base import Model

#: Names of steps and queues are also names of files, actors and Redis' keys.
STEP_NAME = r"^[a-z][a-z0-9_]{0,31}$"
Step = Annotated[str, StringConstraints(pattern=STEP_NAME)]

#: In `needs`: whatever else the job does.
ALL = "*"

#: What core calls its own work on a job.
_RESERVED_STEPS = ("finish", "deliver", "divide")

#: Queues whose workers do nothing heavy and keep their own order.
_RESERVED_QUEUES = ("callbacks", "xapi")


def _free_name(name: str) -> str:
    if name in _RESERVED_STEPS:
        raise ValueError(f"{name} is core's own")
    return name


class StepSpec(Model):
    """One kind of step.

    A job's steps are a graph by `needs`; what needs nothing that is missing runs, beside others if need be.
    """

    name: Annotated[Step, AfterValidator(_free_name)]
    #: Bare name of the queue that its messages wait on; several steps may share one.
    queue: Step
    #: Whether it fills a machine: a host then does as many at once as it has slots. Light ones share a process.
    heavy: bool = True
    #: Steps that come before it, where a job has them; `ALL`: every other.
    needs: tuple[str, ...] = ()
    #: Steps of `needs` that it may run beside, once their plan says that the film's time is the source's own.
    beside: tuple[str, ...] = ()
    #: Whether its child process is kept for the next job: what it loads takes longer than many a lecture.
    kept: bool = False
    #: Whether it belongs to a job whose submitter names no steps.
    default: bool = False
    #: One line for the API and for pages.
    summary: str = ""
    #: What somebody who watches is told while it begins.
    doing: str = "starting"
    #: The hook that does it.
    hook: str = "run_step"
    #: `package.module:function` of a light step of core's own, which needs no child process.
    inline: str = ""


def is_allowed(spec: StepSpec) -> bool:
    """Tell whether a plugin may declare this: core's own queues of light work keep an order that it doesn't know."""
    return spec.queue not in _RESERVED_QUEUES and not spec.inline


def in_order(specs: Iterable[StepSpec]) -> tuple[StepSpec, ...]:
    """Return steps so that each stands behind those that it needs, and else as they came.

    Raises:
        ValueError: some wait for each other.
    """
    left, done = list(specs), list[StepSpec]()
    while left:
        ready = next((one for one in left if not _waits(one, left)), None)
        if ready is None:
            raise ValueError(f"steps {', '.join(one.name for one in left)} wait for each other")
        left.remove(ready)
        done.append(ready)
    return tuple(done)


def _waits(spec: StepSpec, others: Sequence[StepSpec]) -> bool:
    """Tell whether a step waits for one of these; what waits for all doesn't wait for what waits for all."""
    ahead = {one.name for one in others if one.name != spec.name and not (ALL in spec.needs and ALL in one.needs)}
    return bool(ahead if ALL in spec.needs else ahead & set(spec.needs))
