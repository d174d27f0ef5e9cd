"""Statements that can't be delivered, each with the words of whoever refused it, as JSON lines on the shared disk.

They are in `<jobs root>/statements/<store>/dead`, the intake's in `_intake`; Redis has none of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from typing import Any

import structlog

from core import spool
from core.model import now
from core.outbox import Entry, Outbox

#: Characters of the words that are kept.
_WORDS = 1000

_log = structlog.get_logger()


def bury(box: Outbox, lane: str, refused: Sequence[tuple[Entry, str]]) -> None:
    """Write down lines of a lane with the reason of each; the caller then settles them.

    Raises:
        NoSpace, NotWritable
    """
    if not refused:
        return
    letters = [
        {"store": box.name, "at": now().isoformat(), "words": _printable(words), "lane": lane, "text": entry.text}
        for entry, words in refused
    ]
    box.dead.put([json.dumps(letter) for letter in letters])
    for letter in letters:
        _log.warning("statement kept among the dead letters", store=box.name, reason=letter["words"])


def read(box: Outbox, count: int = 1000) -> list[dict[str, Any]]:
    """Return the oldest dead letters: `{store, at, words, statement}`."""
    lines = (line for path in box.dead.files() for line in spool.lines(path))
    return [
        {"store": one["store"], "at": one["at"], "words": one["words"], "statement": _statement(one["text"])}
        for one in map(json.loads, islice(lines, count))
    ]


def retry(box: Outbox) -> int:
    """Put all dead letters back on the lanes that they came from; returns their number."""
    retried = 0
    for path in list(box.dead.files()):
        for letter in map(json.loads, spool.lines(path)):
            box.put(letter["lane"], [letter["text"]])
            retried += 1
        path.unlink()
    return retried


def _statement(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _printable(words: str) -> str:
    """Return a reason that any log and terminal can show: a statement may bring half a surrogate pair."""
    return words.encode("utf-8", "backslashreplace").decode()[:_WORDS]
