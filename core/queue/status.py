"""A job's state, progress and cancel in Redis while it runs: a cache for those who ask often; the files decide.

One hash a job, `amphipod:job:<id>`, forgotten a week after its last change.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from core.context import Progress
from core.model import Division, Part, State
from core.pipeline import parts
from core.queue import job_rows
from core.queue.job_row import JobRow, RowState
from core.redis.keys import NAMESPACE

if TYPE_CHECKING:
    import redis

#: Seconds between two writes of a step's progress.
WRITE_EVERY = 1.0

_KEEP_SECONDS = 7 * 24 * 3600

#: Failed jobs that are listed; the files of the others still say why.
_FAILED_KEPT = 100

_FAILED_KEY = f"{NAMESPACE}:failed"

_UNTOLD_KEY = f"{NAMESPACE}:untold"

#: What a job that is put off is for those who wait for it.
_STATES = {RowState.DELAYED: State.WAITING}


def _key(job: str) -> str:
    return f"{NAMESPACE}:job:{job}"


def _write(client: redis.Redis, job: str, fields: Mapping[Any, str]) -> None:
    with client.pipeline(transaction=True) as pipe:
        pipe.hset(_key(job), mapping=fields)
        pipe.expire(_key(job), _KEEP_SECONDS)
        pipe.publish(job_rows.EVENTS, job)
        pipe.execute()


def set_rows(client: redis.Redis, rows: Sequence[JobRow]) -> None:
    """Tell watchers and lists how jobs stand; a failure joins the list of the latest ones."""
    with client.pipeline(transaction=False) as pipe:
        for row in rows:
            pipe.hset(_key(row.id), mapping={"state": _STATES.get(row.state, row.state), "reason": _reason(row)})
            pipe.expire(_key(row.id), _KEEP_SECONDS)
            if row.state is RowState.FAILED:
                pipe.lpush(_FAILED_KEY, json.dumps({"id": row.id, "reason": row.reason, "at": time.time()}))
                pipe.ltrim(_FAILED_KEY, 0, _FAILED_KEPT - 1)
        pipe.execute()
    job_rows.write(client, rows)


def _reason(row: JobRow) -> str:
    return (row.reason or "") if row.state.is_final else ""


def failed(client: redis.Redis) -> list[dict[str, Any]]:
    """Return the latest failed jobs with their reasons, newest first; not those that were tried again since."""
    entries: dict[str, dict[str, Any]] = {}
    for entry in map(json.loads, client.lrange(_FAILED_KEY, 0, -1)):
        entries.setdefault(entry["id"], entry)
    with client.pipeline(transaction=False) as pipe:
        for job in entries:
            pipe.hget(_key(job), "state")
        states = pipe.execute()
    return [entry for entry, state in zip(entries.values(), states, strict=True) if state in (None, State.FAILED)]


def forget_progress(client: redis.Redis, job: str) -> None:
    """Take back how far a job was, when its steps begin again."""
    fields = [name for name in cast("list[str]", client.hkeys(_key(job))) if name.startswith(("progress.", "told."))]
    if fields:
        client.hdel(_key(job), *fields)


def set_untold(client: redis.Redis, job: str, delivery: str, about: Mapping[str, Any]) -> None:
    """List what a portal was not told yet, and why."""
    client.hset(_UNTOLD_KEY, f"{job} {delivery}", json.dumps(about))


def clear_untold(client: redis.Redis, job: str, delivery: str) -> None:
    client.hdel(_UNTOLD_KEY, f"{job} {delivery}")


def untold(client: redis.Redis) -> list[dict[str, Any]]:
    """Return what portals were not told yet: `{job, delivery, state, kind, tries, answer}`."""
    found = []
    for name, about in sorted(cast("dict[str, str]", client.hgetall(_UNTOLD_KEY)).items()):
        job, delivery = name.split()
        found.append({"job": job, "delivery": delivery, **json.loads(about)})
    return found


def request_cancel(client: redis.Redis, job: str, run: int) -> None:
    """Tell the worker that runs this job to stop; a network file system may take half a minute to say so."""
    _write(client, job, {"cancelled": str(run)})


def is_cancelled(client: redis.Redis, job: str, run: int) -> bool:
    asked = client.hget(_key(job), "cancelled")
    return asked is not None and int(asked) >= run


def part_done(client: redis.Redis, job: str, step: str, run: int, part: str) -> int:
    """Note that a part is committed. Returns how many are; each worker that sees all of them sends the join."""
    key = _parts_key(job, step, run)
    with client.pipeline(transaction=True) as pipe:
        pipe.sadd(key, part)
        pipe.scard(key)
        pipe.expire(key, _KEEP_SECONDS)
        return int(pipe.execute()[1])


def part_sent(client: redis.Redis, job: str, step: str, run: int, part: str) -> None:
    """Note that a part's message is on its queue."""
    key = f"{_parts_key(job, step, run)}:sent"
    with client.pipeline(transaction=True) as pipe:
        pipe.sadd(key, part)
        pipe.expire(key, _KEEP_SECONDS)
        pipe.execute()


def parts_under_way(client: redis.Redis, job: str, step: str, run: int) -> tuple[set[str], set[str]]:
    """Return the parts whose messages were sent, and those that are committed."""
    key = _parts_key(job, step, run)
    with client.pipeline(transaction=True) as pipe:
        pipe.smembers(f"{key}:sent")
        pipe.smembers(key)
        sent, done = pipe.execute()
    return set(sent), set(done)


def _parts_key(job: str, step: str, run: int) -> str:
    return f"{_key(job)}:{step}.{run}:parts"


#: Note how far a part is; if a second has passed since, tell how far the whole is, which never goes back.
_TELL_PART = """
local key, step, now = KEYS[1], ARGV[1], tonumber(redis.call('time')[1]) + tonumber(redis.call('time')[2]) / 1e6
redis.call('hset', key, 'part.' .. step .. '.' .. ARGV[2], ARGV[3])
redis.call('expire', key, ARGV[7])
local told = redis.call('hget', key, 'told.' .. step)
if told and now - tonumber(told) < tonumber(ARGV[6]) then return end
local before = redis.call('hget', key, 'progress.' .. step)
local done, speed, prefix = 0, 0, 'part.' .. step .. '.'
local fields = redis.call('hgetall', key)
for i = 1, #fields, 2 do
  if string.sub(fields[i], 1, #prefix) == prefix then
    local part = cjson.decode(fields[i + 1])
    done, speed = done + part[1], speed + part[2]
  end
end
if before then done = math.max(done, cjson.decode(before).done) end
local words = cjson.encode({done = done, total = tonumber(ARGV[4]), speed = speed, host = ARGV[5]})
redis.call('hset', key, 'progress.' .. step, words, 'told.' .. step, tostring(now))
redis.call('publish', ARGV[8], ARGV[9])
"""


def reporter(client: redis.Redis, job: str, step: str, host: str) -> Callable[[Progress], None]:
    """Return a function that writes progress, at most once every `WRITE_EVERY` seconds, and shrugs off a dead Redis."""

    def tell(progress: Progress) -> None:
        words = {"done": progress.done, "total": progress.total, "speed": progress.speed, "host": host}
        _write(client, job, {f"progress.{step}": json.dumps(words)})

    return _seldom(tell)


def part_reporter(
    client: redis.Redis, job: str, step: str, divided: Division, part: Part, host: str
) -> Callable[[Progress], None]:
    """As `reporter`, for one part: what is told is how far the whole step is, over all workers; it never goes back."""
    total = sum(one.weight for one in divided.parts)

    def tell(progress: Progress) -> None:
        about = json.dumps([progress.fraction * part.weight, parts.speed_of(part, progress)])
        client.eval(
            _TELL_PART,
            1,
            _key(job),
            *(step, part.name, about, total, host, WRITE_EVERY, _KEEP_SECONDS, job_rows.EVENTS, job),
        )

    return _seldom(tell)


def _seldom(tell: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """Tell at most once every `WRITE_EVERY` seconds, and of the end."""
    from redis import RedisError

    last = 0.0

    def report(progress: Progress) -> None:
        nonlocal last
        clock = time.monotonic()
        if clock - last >= WRITE_EVERY or progress.fraction >= 1:
            last = clock
            with suppress(RedisError):
                tell(progress)

    return report


def progress(client: redis.Redis, steps: Sequence[tuple[str, str]]) -> list[dict[str, Any] | None]:
    """Return how far each of these (job, step) is, None where nobody has said so, in one request."""
    with client.pipeline(transaction=False) as pipe:
        for job, step in steps:
            pipe.hget(_key(job), f"progress.{step}")
        return [json.loads(words) if words else None for words in pipe.execute()]


def read(client: redis.Redis, job: str) -> dict[str, Any]:
    """Return `{"state", "reason", "progress": {step: {...}}, "parts": {step: [names]}}` of what is known.

    Of the parts, those that have told how far they are; {} when nothing is known.
    """
    fields = cast("dict[str, str]", client.hgetall(_key(job)))
    far = {
        name.removeprefix("progress."): json.loads(value)
        for name, value in fields.items()
        if name.startswith("progress.")
    }
    parts: dict[str, list[str]] = {}
    for name in fields:
        if name.startswith("part."):
            parts.setdefault(name.split(".")[1], []).append(name.split(".")[2])
    known: dict[str, Any] = {name: fields[name] for name in ("state", "reason") if fields.get(name)}
    return known | ({"progress": far} if far else {}) | ({"parts": parts} if parts else {})
