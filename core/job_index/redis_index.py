"""The list of jobs that `core/queue/job_rows.py` keeps in Redis, completed by what living workers do at this moment."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import redis

from core.job_index.query import Counts, JobPage, JobQuery, QueueLine, make_cursor, read_cursor
from core.queue import job_rows, monitor, workers
from core.queue import names as queue_names
from core.queue.job_row import JobRow, RowState, StepProgress
from core.queue.job_rows import GROUPS, PREFIX
from core.redis import clock, connection
from core.settings import Settings
from core.storage.deliveries import DELIVER

#: Jobs that one command looks through: Redis serves nobody else meanwhile (5000 take about 10 ms).
_LOOKED_THROUGH = 5000

#: Seconds after which a page is answered with what was found.
_PATIENCE = 1.0

#: Walk a sorted set, newest first, from a cursor on, and collect the ids that match. Returns them, then the place of
#: the last one that was looked at, or nothing when it was the last of all. (Lua's `<` goes by the server's locale.)
_FIND = """
local prefix, set, limit, most, now = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local at, after, since = ARGV[6], ARGV[7], tonumber(ARGV[8])
local states, queue, step, words = ARGV[9], ARGV[10], ARGV[11], tonumber(ARGV[12])
local running = {}
for i = 13 + words, #ARGV do running[ARGV[i]] = true end

local function precedes(one, other)
  for i = 1, math.min(#one, #other) do
    local a, b = string.byte(one, i), string.byte(other, i)
    if a ~= b then return a < b end
  end
  return #one < #other
end

local function matches(id, found)
  for i = 13, 12 + words do
    if not string.find(found, ARGV[i], 1, true) then return false end
  end
  if states == '' and queue == '' and step == '' and words == 0 then return true end
  local state, _, _, on, stands_at, due, text =
    string.match(found, '^([^\\t]*)\\t([^\\t]*)\\t([^\\t]*)\\t([^\\t]*)\\t([^\\t]*)\\t([^\\n]*)\\n(.*)$')
  if states ~= '' then
    if state == 'waiting' or state == 'running' or state == 'delayed' then
      if running[id] then state = 'running'
      elseif tonumber(due) > now then state = 'delayed'
      else state = 'waiting' end
    end
    if not string.find(states, ',' .. state .. ',', 1, true) then return false end
  end
  if queue ~= '' and on ~= queue then return false end
  if step ~= '' and stands_at ~= step then return false end
  for i = 13, 12 + words do
    if not string.find(text, ARGV[i], 1, true) then return false end
  end
  return true
end

local rank = 0
if at ~= '' then rank = redis.call('zcount', prefix .. set, '(' .. at, '+inf') end
local ids, looked = {}, 0
while true do
  local chunk = redis.call('zrevrange', prefix .. set, rank, rank + 499, 'withscores')
  if #chunk == 0 then return {ids} end
  rank = rank + #chunk / 2
  local names = {}
  for i = 1, #chunk, 2 do names[#names + 1] = chunk[i] end
  local found = redis.call('hmget', prefix .. 'find', unpack(names))
  for i = 1, #names do
    local score = chunk[2 * i]
    if since and tonumber(score) < since then return {ids} end
    if score ~= at or precedes(names[i], after) then
      looked = looked + 1
      if found[i] and matches(names[i], found[i]) then ids[#ids + 1] = names[i] end
      if #ids == limit or looked == most then return {ids, score, names[i]} end
    end
  end
end
"""


class RedisIndex:
    """See `JobIndex`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: redis.Redis = connection.shared(settings)

    def page(self, query: JobQuery) -> JobPage:
        with connection.errors(self._settings):
            running = self._running()
            ids, cursor = self._find(query, running)
            return JobPage(rows=tuple(self._rows(ids, running)), next_cursor=cursor)

    def rows(self, jobs: Sequence[str]) -> list[JobRow]:
        with connection.errors(self._settings):
            return self._rows(jobs, self._running())

    def counts(self) -> Counts:
        with connection.errors(self._settings):
            running = self._running()
            now = job_rows.milliseconds(clock.now(self._client))
            names = _lines(self._client)
            with self._client.pipeline(transaction=False) as pipe:
                for group in dict.fromkeys(GROUPS.values()):
                    pipe.zcard(PREFIX + group)
                for name in names:
                    pipe.zcount(f"{PREFIX}line:{name}", f"({now}", "+inf")
                open_, done, failed, cancelled, *delayed = pipe.execute()
            waiting = max(open_ - len(running) - sum(delayed), 0)
            return Counts(
                waiting=waiting,
                running=len(running),
                delayed=sum(delayed),
                done=done,
                failed=failed,
                cancelled=cancelled,
            )

    def lines(self) -> list[QueueLine]:
        with connection.errors(self._settings):
            now = job_rows.milliseconds(clock.now(self._client))
            names = _lines(self._client)
            with self._client.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.zcount(f"{PREFIX}line:{name}", "-inf", now)
                    pipe.zrange(f"{PREFIX}line:{name}", 0, 0, withscores=True)
                answers = iter(pipe.execute())
            found = [(name, next(answers), next(answers)) for name in names]
            return [
                QueueLine(name=name, jobs=jobs, oldest=_moment(first[0][1]) if jobs else None)
                for name, jobs, first in found
            ]

    def place(self, row: JobRow) -> int | None:
        if row.state is not RowState.WAITING or not row.queue:
            return None
        with connection.errors(self._settings):
            name = queue_names.full(row.queue, row.priority)
            rank = self._client.zrank(f"{PREFIX}line:{name}", row.id)
            if rank is None:
                return None
            family = queue_names.by_priority(queue_names.bare(name))
            now = job_rows.milliseconds(clock.now(self._client))
            ahead = family[: family.index(name)]
            return cast("int", rank) + 1 + sum(self._client.zcount(f"{PREFIX}line:{one}", "-inf", now) for one in ahead)

    def _running(self) -> dict[str, dict[str, Any]]:
        found = monitor.running(self._client, workers.alive(self._client))
        return {one["job"]: one for one in found if one["step"] != DELIVER}

    def _find(self, query: JobQuery, running: Iterable[str]) -> tuple[list[str], str | None]:
        """Return the ids of a page, and where the next one goes on."""
        at, after = read_cursor(query.cursor) if query.cursor else ("", "")
        since = job_rows.milliseconds(query.since.timestamp()) if query.since else ""
        words = job_rows.folded(query.text).split()
        states = f",{','.join(query.states)}," if query.states else ""
        now = job_rows.milliseconds(clock.now(self._client))
        asked: list[str | int] = [states, query.queue or "", query.step or "", len(words), *words, *running]
        found: list[str] = []
        end = time.monotonic() + _PATIENCE
        while True:
            limits = [query.limit - len(found), _LOOKED_THROUGH, now]
            answer = self._client.eval(_FIND, 0, PREFIX, _set(query), *limits, at, after, since, *asked)
            ids, *place = cast("list[Any]", answer)
            found += ids
            if not place:
                return found, None
            at, after = place
            if len(found) == query.limit or time.monotonic() > end:
                return found, make_cursor(int(at), after)

    def _rows(self, jobs: Sequence[str], running: Mapping[str, Mapping[str, Any]]) -> list[JobRow]:
        known = job_rows.read(self._client, jobs)
        now = datetime.fromtimestamp(clock.now(self._client), UTC)
        return [_now(known[job], running.get(job), now) for job in jobs if job in known]


def _now(row: JobRow, at_work: Mapping[str, Any] | None, now: datetime) -> JobRow:
    """Return a row as it stands: what is not over runs only where a living worker is at it."""
    if row.state.is_final:
        return row
    if at_work:
        far = at_work["progress"]
        about = {
            "state": RowState.RUNNING,
            "step": at_work["step"],
            "queue": at_work["queue"],
            "hosts": tuple(at_work["hosts"]),
            "changed_at": datetime.fromisoformat(at_work["since"]),
            "progress": StepProgress(**far) if far else None,
        }
        return row.model_copy(update=about)
    if row.state is RowState.DELAYED and row.next_try and row.next_try > now:
        return row
    return row.model_copy(update={"state": RowState.WAITING, "next_try": None, "hosts": ()})


def _set(query: JobQuery) -> str:
    """Return the smallest set that has all that may match."""
    if query.order == "ended":
        return "ended"
    groups = {GROUPS[state] for state in query.states}
    return groups.pop() if len(groups) == 1 else "all"


def _lines(client: redis.Redis) -> list[str]:
    """Return the queues that jobs wait on; a portal that is to be told is no step of a job."""
    return [name for name in monitor.queues(client) if name != queue_names.DELIVERIES]


def _moment(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
