"""Statements that can't be delivered, each with the words of whoever refused it, as JSON lines on the shared disk.

They are in `<jobs root>/statements/<store>/dead`, the intake's in `_intake`; Redis has none of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import structlog

from core.model import now
from core.statements import spool
from core.statements.outbox import Entry, Outbox

#: Characters of the words that are kept.
_WORDS = 1000

_log = structlog.get_logger()

#: One line of the files: {store, at, words, lane, text}.
Letter = Mapping[str, Any]
Choice = Callable[[Letter], bool]


def bury(box: Outbox, partition: str, refused: Sequence[tuple[Entry, str]]) -> None:
    """Write down lines of a partition with the reason of each; the caller then settles them.

    Raises:
        NoSpace, NotWritable
    """
    if not refused:
        return
    letters = [
        {"store": box.name, "at": now().isoformat(), "words": _printable(words), "lane": partition, "text": entry.text}
        for entry, words in refused
    ]
    box.dead.put([json.dumps(letter) for letter in letters])
    for letter in letters:
        _log.warning("statement kept among the dead letters", store=box.name, reason=letter["words"])


def chosen(ids: Container[str] | None = None, reason: str = "", before: datetime | None = None) -> Choice:
    """Return a choice of letters: by their statements' ids, by words of the reason, by when they were written."""

    def is_chosen(letter: Letter) -> bool:
        return (
            (ids is None or _id(letter) in ids)
            and reason.lower() in letter["words"].lower()
            and (before is None or datetime.fromisoformat(letter["at"]) < before)
        )

    return is_chosen


ALL = chosen()


def read(box: Outbox, count: int = 1000, *, skip: int = 0, choice: Choice = ALL) -> list[dict[str, Any]]:
    """Return the oldest dead letters but those skipped: `{store, at, words, statement}`."""
    return list(islice(each(box, choice), skip, skip + count))


def each(box: Outbox, choice: Choice = ALL) -> Iterator[dict[str, Any]]:
    """Yield all dead letters that are chosen, as `read`, the oldest first."""
    for path in box.dead.files():
        with suppress(FileNotFoundError):
            for one in filter(choice, map(json.loads, spool.lines(path))):
                yield {"store": one["store"], "at": one["at"], "words": one["words"], "statement": statement_of(one)}


def retry(box: Outbox, choice: Choice = ALL) -> int:
    """Put dead letters back on their partitions. Returns their number."""

    def put_back(letters: Sequence[Letter]) -> None:
        for letter in letters:
            box.put(letter["lane"], [letter["text"]])

    return _take(box, choice, put_back)


def drop(box: Outbox, choice: Choice = ALL) -> int:
    """Remove dead letters for good. Returns their number."""
    return _take(box, choice, lambda letters: None)


def expire(box: Outbox, days: float) -> int:
    """Remove those that are older, with a line in the log. Returns their number."""
    number = drop(box, chosen(before=now() - timedelta(days=days)))
    if number:
        _log.warning("dead statements removed: nobody has seen to them in time", store=box.name, number=number)
    return number


def _take(box: Outbox, choice: Choice, use: Callable[[Sequence[Letter]], None]) -> int:
    """Take letters from the files after `use`; a crash in between leaves them there, too."""
    taken = 0
    for path in list(box.dead.files()):
        with suppress(FileNotFoundError):  # another is at it
            lines = spool.lines(path)
            meant = [letter for letter in map(json.loads, lines) if choice(letter)]
            if not meant:
                continue
            use(meant)
            box.dead.keep(path, [line for line in lines if not choice(json.loads(line))])
            taken += len(meant)
    return taken


def _id(letter: Letter) -> str:
    statement = statement_of(letter)
    return str(statement.get("id")) if isinstance(statement, dict) else ""


def statement_of(letter: Letter) -> Any:
    """Return the statement of a letter, or the text that is none."""
    try:
        return json.loads(letter["text"])
    except (ValueError, RecursionError):
        return letter["text"]


def _printable(words: str) -> str:
    """Return a reason that any log and terminal can show: a statement may bring half a surrogate pair."""
    return words.encode("utf-8", "backslashreplace").decode()[:_WORDS]
