"""What a worker and a step's process say to each other, one JSON object a line.

The process has taken strangers' films apart: what it says is checked like any other word from outside.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, FiniteFloat, ValidationError, field_validator

from core import errors, validation_messages
from core.model import Access, Division, Engine, FilePath, Manifest, Model, Plan, Step, StepOutput, Work
from core.settings import Settings

#: Bytes of a line; an answer that names a file for every second of a day has a third of that.
LONGEST = 32 << 20


class StepRequest(Model):
    """The line that a child reads."""

    parent: int
    settings: Settings
    root: FilePath
    job: str
    step: Step
    #: Whether the child is kept for the next job.
    kept: bool = False
    work: Work = Work()
    attempt: int
    scratch: FilePath
    published: FilePath
    plan: Plan
    manifest: Manifest
    #: What the plugins that do it need beside that.
    access: Access = Access()
    #: Of system calls, in base 64; "" where there is none (core/process/syscall_filter.py).
    filter: str = ""


class StepAnswer(Model):
    """The child's last line when all went well; artifacts are measured and on stable storage."""

    engine: Engine
    output: StepOutput | None = None
    #: Of the verb "divide".
    division: Division | None = None

    @field_validator("output")
    @classmethod
    def _can_be_reckoned_with(cls, output: StepOutput | None) -> StepOutput | None:
        duration = output.facts.get("duration") if output else None
        if duration is not None and not (isinstance(duration, int | float) and 0 <= duration < float("inf")):
            raise ValueError("the fact duration is no number of seconds")
        return output


class Failure(Model):
    """An error of core/errors.py, as its `to_dict` gives it."""

    type: str
    bases: tuple[str, ...] = ()
    message: str
    remedy: str = ""
    job: str | None = None
    step: str | None = None
    plugin: str | None = None
    path: str | None = None

    def rebuilt(self) -> errors.AmphipodError:
        return errors.from_dict(self.model_dump(exclude_none=True))


class Message(Model):
    """A line of the child's: one of these."""

    #: The fields of core.context.Progress.
    progress: tuple[FiniteFloat, FiniteFloat, FiniteFloat, Annotated[str, Field(max_length=1000)]] | None = None
    log: dict[str, Any] | None = None
    error: Failure | None = None
    #: Of the error.
    trace: str = ""
    answer: StepAnswer | None = None


def read(line: bytes) -> Message:
    """Return what a child has said.

    Raises:
        ValueError: no child of ours says that.
    """
    try:
        return Message.model_validate_json(line)
    except ValidationError as error:
        raise ValueError(validation_messages.told(error)[:500]) from error
