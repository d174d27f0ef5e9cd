"""Messages of Esup-Pod that we can't act on: kept for a person, one file each, whatever they consist of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from core.model import now
from core.pipeline import lifecycle
from core.settings import Settings
from core.storage import files

#: Characters that are kept of a reason, and shown of a task's name.
_REASON_LIMIT, _NAME_LIMIT = 2000, 200

_log = structlog.get_logger()


@dataclass(frozen=True)
class Message:
    """A task as Celery's protocol 2 sends it: its headers, and [args, kwargs, embed] as JSON.

    No model: anything may stand here, half of a surrogate pair too. Bytes that are no UTF-8 are escaped as surrogates.
    """

    queue: str
    headers: Mapping[str, Any]
    body: str
    #: Why it is no message at all, if it is none; then `body` is all that was found on the queue.
    fault: str = ""

    @property
    def id(self) -> str:
        return str(self.headers.get("id", ""))

    @property
    def task(self) -> str:
        return str(self.headers.get("task", ""))[:_NAME_LIMIT] or "no task"


@dataclass(frozen=True)
class Parked:
    """`parked/<id>.json`."""

    reason: str
    parked_at: datetime
    message: Message


def park(message: Message, reason: str, settings: Settings, *, path: Path | None = None) -> None:
    """Keep a message, where it was kept before if `path` is given; the same one has one file, however often it comes.

    Raises:
        NotWritable, NoSpace
    """
    folder = settings.jobs_root / "parked"
    reason = printable(reason, _REASON_LIMIT)
    _log.error(
        "message parked; see `amphipod pod parked`",
        task=printable(message.task),
        task_id=printable(message.id),
        queue=message.queue,
        reason=reason,
    )
    # ASCII alone: it has an escape for every character, and for what is none.
    text = json.dumps({"reason": reason, "parked_at": now().isoformat(), "message": asdict(message)}, indent=2)
    with files.disk_errors(folder):
        files.make_folder(folder)
        files.write_replacing(path or _place(folder, message), text + "\n")


def _place(folder: Path, message: Message) -> Path:
    """Return the file's name: the task's id, and more where another message has that."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", message.id)[:100] or lifecycle.new_id()
    path = folder / f"{name}.json"
    if path.exists() and _read(path).message != message:
        digest = hashlib.sha256(json.dumps(asdict(message), sort_keys=True).encode()).hexdigest()
        return folder / f"{name}.{digest[:12]}.json"
    return path


def parked(settings: Settings) -> Iterator[tuple[Path, Parked]]:
    """Yield the messages that wait for a person, each with its file."""
    for path in sorted((settings.jobs_root / "parked").glob("*.json")):
        yield path, _read(path)


def _read(path: Path) -> Parked:
    """Read a file; one that can't be read any more is shown as such."""
    try:
        found = json.loads(path.read_bytes())
        return Parked(found["reason"], datetime.fromisoformat(found["parked_at"]), Message(**found["message"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        fault = f"{path} can't be read ({error})"
        return Parked(fault, now(), Message("", {}, "", fault=fault))


def printable(text: str, limit: int = _NAME_LIMIT) -> str:
    """Return what a terminal and a log can take of a text that anybody may have written."""
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text[:limit])
    return f"{shown}..." if len(text) > limit else shown
