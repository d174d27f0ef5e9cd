"""The state of the whole service, as data: queues, workers, failures. Counts, never bodies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from core.queue import lease, status, workers
from core.queue import names as queue_names
from core.queue.messages import Unreadable, read
from core.redis.keys import NAMESPACE

if TYPE_CHECKING:
    import redis

#: Delayed messages of a queue that are read to be shown.
_DELAYED_READ = 100

#: The same of dead ones, and characters of each.
_DEAD_READ, _DEAD_SHOWN = 100, 200


def overview(client: redis.Redis) -> dict[str, Any]:
    """Return what a person or a page needs to know, with one entry a job however many messages it has.

    `{"queues": {name: {waiting, delayed, dead}}, "unserved": [...], "running": [...], "delayed": [...],
    "failed": [...], "untold": [...]}`. Queues count messages. What runs is what a worker says and a live lease
    confirms; what is delayed says why and until when; what has failed was not tried again since.
    """
    table = counts(client)
    alive = list(workers.alive(client))
    return {
        "queues": table,
        "unserved": unserved(client, alive),
        "running": running(client, alive),
        "delayed": _delayed(client, [name for name, counts in table.items() if counts["delayed"]]),
        "failed": status.failed(client),
        "untold": status.untold(client),
    }


def unserved(client: redis.Redis, alive: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the queues with messages that none of the living workers reads: `{queue, messages}`.

    A message that a dead worker had waits too, though it is on no list until another worker looks for it.
    """
    served = _served(alive)
    names = [name for name in queues(client) if queue_names.bare(name) not in served]
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hlen(f"{NAMESPACE}:{name}.msgs")
            pipe.hlen(f"{NAMESPACE}:{name}.DQ.msgs")
        counts = iter(pipe.execute())
    found: dict[str, int] = {}
    for name in names:
        found[queue_names.bare(name)] = found.get(queue_names.bare(name), 0) + next(counts) + next(counts)
    return [{"queue": queue, "messages": messages} for queue, messages in found.items() if messages]


def is_served(client: redis.Redis, queue: str) -> bool:
    """Tell whether a worker of this queue lives."""
    return queue in _served(workers.alive(client))


def _served(alive: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the queues that a worker reads; one with a fault takes nothing."""
    return {queue for worker in alive if not worker.get("fault") for queue in worker["queues"]}


def queues(client: redis.Redis) -> list[str]:
    """Return the full names of all queues: the built-in ones, and those that plugins' steps were sent to."""
    brought = sorted(cast("set[str]", client.smembers(queue_names.BROUGHT)) - set(queue_names.BUILT_IN))
    return [name for queue in (*queue_names.BUILT_IN, *brought) for name in queue_names.by_priority(queue)]


def counts(client: redis.Redis) -> dict[str, dict[str, int]]:
    """Return how many messages each queue has: `{name: {waiting, delayed, dead}}`."""
    names = queues(client)
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.llen(f"{NAMESPACE}:{name}")
            pipe.hlen(f"{NAMESPACE}:{name}.DQ.msgs")
            pipe.zcard(f"{NAMESPACE}:{name}.XQ")
        counts = iter(pipe.execute())
    return {name: {"waiting": next(counts), "delayed": next(counts), "dead": next(counts)} for name in names}


def running(client: redis.Redis, alive: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what these workers say that they do and a live lease confirms, one entry a job.

    `{job, step, since, host, worker, hosts, parts, progress}`.
    """
    said = [(worker, job) for worker in alive for job in worker["jobs"] if job["job"]]
    names = [lease.name_of(job["job"], job["step"], job.get("part", "")) for _, job in said]
    held = lease.held(client, names)
    found: dict[str, dict[str, Any]] = {}
    for (worker, job), name in zip(said, names, strict=True):
        if name not in held:
            continue  # its worker has died, or another's lease has sent it away
        one = found.setdefault(
            job["job"], {**job, "host": worker["host"], "worker": worker["id"], "hosts": [], "parts": []}
        )
        one["since"] = min(one["since"], job["since"])
        one["hosts"] = sorted({*one["hosts"], worker["host"]})
        one["parts"] += [job["part"]] if job.get("part") else []
    far = status.progress(client, [(one["job"], one["step"]) for one in found.values()])
    return [one | {"progress": progress} for one, progress in zip(found.values(), far, strict=True)]


def _delayed(client: redis.Redis, names: Iterable[str]) -> list[dict[str, Any]]:
    """Read what waits for its time, `_DELAYED_READ` messages of a queue at the most."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        bodies = client.hscan_iter(f"{NAMESPACE}:{name}.DQ.msgs", count=_DELAYED_READ)
        for _, body in islice(bodies, _DELAYED_READ):
            one = _delayed_message(name, body)
            if one and (one["job"] not in found or one["next_try"] < found[one["job"]]["next_try"]):
                found[one["job"]] = one
    return sorted(found.values(), key=lambda one: str(one["next_try"]))


def _read(body: str) -> Mapping[str, Any]:
    """Return what a message says; of one that nobody can read, nothing: whoever takes it sets it aside."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, Mapping) else {}


def _job(message: Mapping[str, Any]) -> str | None:
    args = message.get("args")
    job = args[0] if isinstance(args, list) and args else None
    return job if isinstance(job, str) else None


def _delayed_message(queue: str, body: str) -> dict[str, Any] | None:
    """Return what is delayed, None for statements and for what nobody can read: whoever takes it sets it aside."""
    try:
        message = read(body, f"{queue}.DQ")
    except Unreadable:
        return None
    job = _job(message)
    if job is None:
        return None
    options, about = message["options"], message["kwargs"]
    return {
        "job": job,
        "step": message["actor_name"],
        "part": about.get("part", ""),
        "queue": queue,
        "reason": options.get("reason") or _last_line(str(options.get("traceback", ""))),
        "tries": about.get("tries", 0),
        "next_try": datetime.fromtimestamp(options.get("eta", 0) / 1000, UTC).isoformat(timespec="seconds"),
    }


def dead(client: redis.Redis) -> list[dict[str, str]]:
    """Return the messages that nobody can act on, `_DEAD_READ` of a queue at the most: `{queue, reason, message}`.

    Jobs and statements that were given up are not among them: their messages were taken.
    """
    found = []
    for name in queues(client):
        bodies = client.hscan_iter(f"{NAMESPACE}:{name}.XQ.msgs", count=_DEAD_READ)
        found += [
            {"queue": name, "reason": _why_dead(body, name), "message": body[:_DEAD_SHOWN]}
            for _, body in islice(bodies, _DEAD_READ)
        ]
    return found


def _why_dead(body: str, queue: str) -> str:
    try:
        was_delayed = str(_read(body).get("queue_name")) == f"{queue}.DQ"
        options = read(body, f"{queue}.DQ" if was_delayed else queue)["options"]
    except Unreadable as error:
        return str(error)
    return options.get("reason") or _last_line(str(options.get("traceback", ""))) or "nobody here does what it asks for"


def _last_line(trace: str) -> str:
    """Return what an actor itself has stumbled over; Dramatiq keeps its trace."""
    return trace.rstrip().rpartition("\n")[2]


def queued_jobs(client: redis.Redis) -> set[str]:
    """Return the ids of the jobs that have a message: waiting, delayed, or with a worker."""
    jobs: set[str | None] = set()
    for name in queues(client):
        for companion in ("", ".DQ"):
            for _, body in client.hscan_iter(f"{NAMESPACE}:{name}{companion}.msgs", count=1000):
                jobs.add(_job(_read(body)))
    return {job for job in jobs if job is not None}
