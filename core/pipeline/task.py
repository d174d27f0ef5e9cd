"""What one message asks for: a step, a part of one, the join of its parts, or a callback."""

from __future__ import annotations

from dataclasses import dataclass

from core.pipeline.parts import JOIN
from core.storage.deliveries import DELIVER


@dataclass(frozen=True)
class StepTask:
    """Do a step whole, or decide how it is divided; publishing is the step `FINISH`."""

    step: str
    #: As a message carries it, beside the step.
    part = ""


@dataclass(frozen=True)
class PartTask:
    """Do one part of a divided step."""

    step: str
    #: The part's name.
    part: str


@dataclass(frozen=True)
class JoinTask:
    """Make the whole of a step's parts, which are all there."""

    step: str
    part = JOIN


@dataclass(frozen=True)
class CallbackTask:
    """Tell a portal."""

    #: Id of the delivery.
    part: str
    step = DELIVER


Task = StepTask | PartTask | JoinTask | CallbackTask


def read(step: str, part: str) -> Task:
    """Return what a message means that names a step and has this in the place of the part."""
    if step == DELIVER:
        return CallbackTask(part)
    if part == JOIN:
        return JoinTask(step)
    return PartTask(step, part) if part else StepTask(step)
