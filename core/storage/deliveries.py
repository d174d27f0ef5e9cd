"""What a portal must be told of a job's end: one file a delivery, which lives until the portal has taken it.

The deliveries follow from the job's files alone, so that neither a killed worker nor a Redis without its data forgets
one. Whether and how a receiver is told is the business of its contract (core/callbacks/delivery.py).
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Literal

from core.errors import BadCall
from core.model import Callback, Model, now
from core.storage import files, job_state
from core.storage.job_folder import JobFolder
from core.storage.job_state import FINISH

#: Name of a delivery's task, beside those of the steps.
DELIVER = "deliver"


class Delivery(Model):
    """`callbacks/<run>.<number>.json`."""

    id: str
    callback: Callback
    #: withheld: the receiver's contract has no word for how the job ended. given_up: told too often, or refused.
    state: Literal["due", "delivered", "withheld", "given_up"] = "due"
    due_since: datetime
    tries: int = 0
    #: Seconds of tries and of pauses between them so far; the settings' patience is with these, by no host's clock.
    waited: float = 0.0
    #: The receiver may have taken it although we never saw its answer: to be looked into before it is told again.
    uncertain: bool = False
    #: The receiver's last answer, or why there was none.
    answer: str = ""
    answered_at: datetime | None = None


def due(folder: JobFolder) -> list[str]:
    """Return the ids of what is still to be delivered, and make the records that are missing."""
    found = []
    callbacks = folder.job().callbacks
    for run in range(1, folder.run() + 1 if callbacks else 1):
        finished = job_state.result(folder, FINISH, run)
        if finished is None:
            continue
        for number, callback in enumerate(callbacks, start=1):
            delivery = Delivery(id=f"{run}.{number}", callback=callback, due_since=finished.finished_at)
            if _standing(folder, delivery).state == "due":
                found.append(delivery.id)
    return found


def _standing(folder: JobFolder, delivery: Delivery) -> Delivery:
    path = folder.callbacks / f"{delivery.id}.json"
    if not path.exists():
        with files.disk_errors(folder.path), suppress(FileExistsError):
            files.make_folder(folder.callbacks, parents=False)
            files.write_once(path, delivery.to_json())
    return read(folder, delivery.id)


def read(folder: JobFolder, delivery: str) -> Delivery:
    return Delivery.model_validate_json((folder.callbacks / f"{delivery}.json").read_bytes())


def save(folder: JobFolder, delivery: Delivery) -> None:
    with files.disk_errors(folder.path):
        files.write_replacing(folder.callbacks / f"{delivery.id}.json", delivery.to_json())


def run_of(delivery: Delivery) -> int:
    return int(delivery.id.partition(".")[0])


def known(folder: JobFolder) -> list[Delivery]:
    """Return the deliveries that have a record, settled or not."""
    return [read(folder, path.stem) for path in sorted(folder.callbacks.glob("[0-9]*.json"))]


def given_up(folder: JobFolder) -> list[Delivery]:
    """Return the deliveries that were given up."""
    return [delivery for delivery in known(folder) if delivery.state == "given_up"]


def reopen(folder: JobFolder) -> list[str]:
    """Make due again what was given up. Returns the ids.

    Raises:
        BadCall: nothing was.
    """
    again = given_up(folder)
    if not again:
        raise BadCall(f"job {folder.id} has no callback that was given up", job=folder.id)
    for delivery in again:
        save(folder, delivery.model_copy(update={"state": "due", "due_since": now(), "tries": 0, "waited": 0.0}))
    return [delivery.id for delivery in again]
