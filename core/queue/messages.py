"""What a message on our queues must be before a worker does anything with it: whoever reaches Redis may put one there.

Dramatiq believes what a message says of itself: its queue, its options, how often it was tried. A wrong word there ends
a thread of the worker, or has the message acknowledged though nothing was done.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from core import validation_messages
from core.errors import BadCall
from core.model import check_id
from core.model.nesting import DEEPEST, is_too_deep
from core.queue import names

if TYPE_CHECKING:
    import dramatiq

#: Bytes of a message. Ours say ids alone; a portal's has statements, of 128 kB each.
LARGEST = 16 << 20

#: Milliseconds since 1970, up to the year 9999.
_Moment = Annotated[int | float, Field(ge=0, lt=253_402_300_800_000, allow_inf_nan=False)]

_Name = Annotated[str, Field(min_length=1, max_length=200)]

#: A part's name, `parts.JOIN`, or the id of a delivery: names of files.
_PART = r"^([A-Za-z0-9+_-][A-Za-z0-9+_.-]{0,127})?$"


class Unreadable(BadCall):
    """Not a message, or none that a worker can act on, now or later."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Options(_Strict):
    """Those that Dramatiq and our middleware act on; what else stands there is nobody's business."""

    model_config = ConfigDict(extra="allow")

    redis_message_id: _Name
    eta: _Moment = 0
    retries: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    requeue_timestamp: _Moment = 0
    reason: str = ""
    traceback: str = ""
    #: JSON can name no class, and other actors are none of a message's business.
    throws: None = None
    on_retry_exhausted: None = None
    pipe_target: None = None
    max_retries: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    min_backoff: _Moment | None = None
    max_backoff: _Moment | None = None


class _Envelope(_Strict):
    queue_name: _Name
    actor_name: _Name
    args: list[Any]
    kwargs: dict[str, Any]
    options: _Options
    message_id: _Name
    message_timestamp: _Moment


class _Call(_Strict):
    """What the actors of jobs take; an argument that a later version adds is left to it."""

    model_config = ConfigDict(extra="allow")

    job: Annotated[str, AfterValidator(check_id)]
    part: Annotated[str, Field(pattern=_PART)] = ""
    tries: Annotated[int, Field(ge=0, le=1_000_000)] = 0


def decode(data: bytes | None, queue: str) -> dramatiq.Message[Any]:
    """Return the message that lies on a queue.

    Raises:
        Unreadable: says why it is none.
    """
    import dramatiq

    said = read(data, queue)
    return dramatiq.Message(**said | {"args": tuple(said["args"])})


def read(data: bytes | str | None, queue: str) -> dict[str, Any]:
    """Return what a message says, as `decode`."""
    if not data:
        raise Unreadable("nothing is left of it")
    if len(data) > LARGEST:
        raise Unreadable(f"it has {len(data)} bytes, more than {LARGEST}")
    if is_too_deep(data):
        raise Unreadable(f"it is nested more than {DEEPEST} deep")
    try:
        said: dict[str, Any] = json.loads(data)
        _Envelope.model_validate(said)
        if said["queue_name"] != queue:
            raise Unreadable(f"it says that it is of the queue {said['queue_name'][:100]!r}")
        if said["actor_name"] != names.EMIT_STATEMENT:
            _Call.model_validate(_bound(said["args"], said["kwargs"]))
    except ValidationError as error:
        raise Unreadable(validation_messages.told(error)) from error
    except ValueError as error:
        raise Unreadable(f"it is no JSON ({error})") from error
    return said


def _bound(args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments by their names, as Python binds them."""
    given = dict(zip(_Call.model_fields, args, strict=False))
    if len(args) > len(given) or given.keys() & kwargs:
        raise Unreadable("it has more arguments than there are")
    return given | kwargs
