"""Keeps the rows of all jobs in Redis, so that a list is a look-up; `core/job_index.py` reads them.

    amphipod:index:rows              hash, id to row as JSON
    amphipod:index:find              hash, id to what a list is filtered by: a line of fields, then lower-cased words
    amphipod:index:all, open, ...    sorted sets of ids by creation, in milliseconds: all, and one a group of states
    amphipod:index:ended             sorted set of what is over, by its end
    amphipod:index:line:<queue>      sorted set of what waits on a queue, by when it joined it, or will

Each change is told on the channel `amphipod:events`, as the job's id. All of it can be made anew from the files.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

from core.queue import names
from core.queue.job_row import OPEN, JobRow, RowState
from core.redis import scripts
from core.redis.keys import NAMESPACE

if TYPE_CHECKING:
    import redis

#: Where the id of each job that changes is published.
EVENTS = f"{NAMESPACE}:events"

PREFIX = f"{NAMESPACE}:index:"

#: Sets that a state's jobs are in, beside that of all.
GROUPS = {
    **dict.fromkeys(OPEN, "open"),
    RowState.SUCCEEDED: "done",
    RowState.SUPERSEDED: "done",
    RowState.FAILED: "failed",
    RowState.CANCELLED: "cancelled",
}

#: Characters of a job's words that are searched.
_TEXT_LIMIT = 2000

#: Rows that go to Redis in one command.
_BATCH = 200

#: A job that is over goes on only by a retry, so what comes late from a worker that has not noticed is dropped.
_WRITE = """
local prefix, events = ARGV[1], ARGV[2]
for i = 3, #ARGV, 11 do
  local id, row, head, text, state, run, created, changed, group, line, due = unpack(ARGV, i, i + 10)
  local old, late = redis.call('hget', prefix .. 'find', id), false
  if old then
    local was, was_run, was_line = string.match(old, '^([^\\t]*)\\t(%d+)\\t([^\\t]*)\\t')
    late = tonumber(run) < tonumber(was_run)
      or (run == was_run and group == 'open' and was ~= 'waiting' and was ~= 'running' and was ~= 'delayed')
    if not late and was_line ~= '' and (was_line ~= line or state ~= was) then
      redis.call('zrem', prefix .. 'line:' .. was_line, id)
    end
  end
  if not late then
    redis.call('hset', prefix .. 'rows', id, row)
    redis.call('hset', prefix .. 'find', id, head .. '\\n' .. text)
    redis.call('zadd', prefix .. 'all', created, id)
    for _, name in ipairs({'open', 'done', 'failed', 'cancelled'}) do
      if name == group then redis.call('zadd', prefix .. name, created, id)
      else redis.call('zrem', prefix .. name, id) end
    end
    if group == 'open' then redis.call('zrem', prefix .. 'ended', id)
    else redis.call('zadd', prefix .. 'ended', changed, id) end
    if line ~= '' then
      if state == 'delayed' then redis.call('zadd', prefix .. 'line:' .. line, due, id)
      else redis.call('zadd', prefix .. 'line:' .. line, changed, id) end
    end
    redis.call('publish', events, id)
  end
end
"""

_REMOVE = """
local prefix, events = ARGV[1], ARGV[2]
for i = 3, #ARGV do
  local id = ARGV[i]
  local old = redis.call('hget', prefix .. 'find', id)
  if old then
    local line = string.match(old, '^[^\\t]*\\t%d+\\t([^\\t]*)\\t')
    if line ~= '' then redis.call('zrem', prefix .. 'line:' .. line, id) end
  end
  for _, name in ipairs({'all', 'open', 'done', 'failed', 'cancelled', 'ended'}) do
    redis.call('zrem', prefix .. name, id)
  end
  redis.call('hdel', prefix .. 'rows', id)
  redis.call('hdel', prefix .. 'find', id)
  redis.call('publish', events, id)
end
"""


def write(client: redis.Redis, rows: Iterable[JobRow]) -> None:
    """Put rows in the place of those that are known of the same jobs, and tell that they have changed."""
    fields = [field for row in rows for field in _fields(row)]
    size = 11 * _BATCH
    for first in range(0, len(fields), size):
        scripts.run(client, _WRITE, [], PREFIX, EVENTS, *fields[first : first + size])


def read(client: redis.Redis, jobs: Sequence[str]) -> dict[str, JobRow]:
    """Return the rows of these jobs as they were written, without those that nobody knows."""
    found = cast("list[str | None]", client.hmget(f"{PREFIX}rows", list(jobs))) if jobs else []
    return {job: JobRow.model_validate_json(row) for job, row in zip(jobs, found, strict=True) if row}


def known(client: redis.Redis) -> set[str]:
    """Return the ids of all jobs that lists have."""
    return set(cast("list[str]", client.zrange(f"{PREFIX}all", 0, -1)))


def remove(client: redis.Redis, jobs: Sequence[str]) -> None:
    """Forget jobs whose records are gone."""
    for first in range(0, len(jobs), _BATCH):
        scripts.run(client, _REMOVE, [], PREFIX, EVENTS, *jobs[first : first + _BATCH])


def folded(text: str) -> str:
    """Return words as they are searched: without case and accents."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def searched(row: JobRow) -> str:
    """Return all that a row can be found by."""
    words = (row.id, row.title, row.source, row.correlation_id, row.words, row.reason or "")
    return folded(" ".join(dict.fromkeys(words)))[:_TEXT_LIMIT]


def _fields(row: JobRow) -> tuple[str | int, ...]:
    waits = row.state in (RowState.WAITING, RowState.DELAYED)
    line = names.full(row.queue, row.priority) if waits and row.queue else ""
    due = milliseconds(row.next_try.timestamp()) if row.next_try and row.state is RowState.DELAYED else 0
    head = "\t".join((row.state, str(row.run), line, row.queue or "", row.step or "", str(due)))
    created, changed = (milliseconds(at.timestamp()) for at in (row.created_at, row.changed_at))
    group = GROUPS[row.state]
    text = searched(row)
    whole = row.model_dump_json(exclude_none=True)
    return (row.id, whole, head, text, str(row.state), row.run, created, changed, group, line, due)


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
