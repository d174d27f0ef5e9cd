"""Who works where on what, as the workers themselves say in Redis every few seconds.

Dramatiq's heartbeats can't tell: producers beat too, and a message that was fetched is not yet one that runs.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from core.redis.keys import NAMESPACE
from core.storage import files

if TYPE_CHECKING:
    import redis

#: Seconds between two signs of life, and until a silent worker is forgotten.
BEAT_EVERY = 5.0
_FORGET_AFTER = 20

_KEY = f"{NAMESPACE}:worker:"

#: Set of the ids that have beaten; who is silent is taken out by the next reader.
_IDS = f"{NAMESPACE}:workers"


def beat(client: redis.Redis, about: Mapping[str, Any]) -> None:
    """Say that a worker lives, and what it does."""
    with client.pipeline(transaction=False) as pipe:
        pipe.set(_KEY + about["id"], json.dumps(about), ex=_FORGET_AFTER)
        pipe.sadd(_IDS, about["id"])
        pipe.execute()


def strike_off(client: redis.Redis, worker: str) -> None:
    """Forget a worker that has stopped."""
    with client.pipeline(transaction=False) as pipe:
        pipe.delete(_KEY + worker)
        pipe.srem(_IDS, worker)
        pipe.execute()


def alive(client: redis.Redis) -> Iterator[dict[str, Any]]:
    """Return every worker process that gave a sign of life: host, pid, queues, threads, version, beacon, jobs."""
    ids = sorted(cast("set[str]", client.smembers(_IDS)))
    answers = client.mget([_KEY + one for one in ids]) if ids else []
    if silent := [one for one, words in zip(ids, answers, strict=True) if not words]:
        client.srem(_IDS, *silent)
    for words in answers:
        if words:
            yield json.loads(words)


def leave_beacon(root: Path, host: str) -> str:
    """Return the word of this host, which only somebody who really shares the jobs' folder can read there."""
    files.make_folder(root / "hosts")
    with suppress(FileExistsError):
        files.write_once(root / "hosts" / host, secrets.token_hex(8))
    return (root / "hosts" / host).read_text(encoding="ascii")


def read_beacon(root: Path, host: str) -> str | None:
    """Return the word that a host left, None if it can't be seen from here."""
    try:
        return (root / "hosts" / host).read_text(encoding="ascii")
    except OSError:
        return None
