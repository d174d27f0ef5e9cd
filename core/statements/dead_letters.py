"""Statements that can't be delivered, each with the words of whoever refused it, as JSON lines on the shared disk.

They are in `<jobs root>/statements/<store>/dead`, the intake's in `_intake`; Redis has none of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import structlog

from core.model import now
from core.statements import spool
from core.statements.outbox import Entry, Outbox

#: Characters of the words that are kept.
_WORDS = 1000

_log = structlog.get_logger()


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


def read(box: Outbox, count: int = 1000) -> list[dict[str, Any]]:
    """Return the oldest dead letters: `{store, at, words, statement}`."""
    return list(islice(each(box), count))


def each(box: Outbox) -> Iterator[dict[str, Any]]:
    """Yield all dead letters, as `read`, the oldest first."""
    for path in box.dead.files():
        with suppress(FileNotFoundError):
            for one in map(json.loads, spool.lines(path)):
                statement = _statement(one["text"])
                yield {"store": one["store"], "at": one["at"], "words": one["words"], "statement": statement}


def retry(box: Outbox, only: Container[str] | None = None) -> int:
    """Put dead letters, or those of some statements, back on their partitions. Returns their number."""

    def put_back(letters: Sequence[Mapping[str, Any]]) -> None:
        for letter in letters:
            box.put(letter["lane"], [letter["text"]])

    return _take(box, only, put_back)


def drop(box: Outbox, only: Container[str] | None = None) -> int:
    """Remove dead letters for good: all, or those of these statements. Returns their number."""
    return _take(box, only, lambda letters: None)


def _take(box: Outbox, only: Container[str] | None, use: Callable[[Sequence[Mapping[str, Any]]], None]) -> int:
    """Take letters from the files after `use`; a crash in between leaves them there, too."""
    taken = 0
    for path in list(box.dead.files()):
        with suppress(FileNotFoundError):  # another is at it
            letters = [json.loads(line) for line in spool.lines(path)]
            chosen = [letter for letter in letters if only is None or _id(letter) in only]
            if not chosen:
                continue
            use(chosen)
            box.dead.put([json.dumps(letter) for letter in letters if letter not in chosen])
            path.unlink()
            taken += len(chosen)
    return taken


def _id(letter: Mapping[str, Any]) -> str:
    statement = _statement(letter["text"])
    return str(statement.get("id")) if isinstance(statement, dict) else ""


def _statement(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _printable(words: str) -> str:
    """Return a reason that any log and terminal can show: a statement may bring half a surrogate pair."""
    return words.encode("utf-8", "backslashreplace").decode()[:_WORDS]
