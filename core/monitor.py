"""The state of the whole service, as data: queues, workers, failures. Counts, never bodies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from core import live, queues, workers
from core.queues import NAMESPACE

if TYPE_CHECKING:
    import redis


def overview(client: redis.Redis) -> dict[str, Any]:
    """Return `{"queues": {name: {waiting, delayed, dead}}, "running": [...], "failed": [...], "untold": [...]}`.

    What runs comes from the workers' own word, with its progress; the rest is counted by Redis.
    """
    names = [name for queue in queues.QUEUES.values() for name in queues.by_priority(queue)]
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.llen(f"{NAMESPACE}:{name}")
            pipe.hlen(f"{NAMESPACE}:{name}.DQ.msgs")
            pipe.zcard(f"{NAMESPACE}:{name}.XQ")
        counts = iter(pipe.execute())
    table = {name: {"waiting": next(counts), "delayed": next(counts), "dead": next(counts)} for name in names}
    running = []
    for worker in workers.alive(client):
        for job in worker["jobs"]:
            progress = live.read(client, job["job"]).get("progress", {}).get(job["step"])
            running.append(job | {"host": worker["host"], "worker": worker["id"], "progress": progress})
    return {"queues": table, "running": running, "failed": live.failed(client), "untold": live.untold(client)}


def queued_jobs(client: redis.Redis) -> set[str]:
    """Return the ids of the jobs that have a message: waiting, delayed, or with a worker."""
    jobs: set[str] = set()
    for queue in queues.QUEUES.values():
        for name in queues.by_priority(queue):
            for companion in ("", ".DQ"):
                for _, body in client.hscan_iter(f"{NAMESPACE}:{name}{companion}.msgs", count=1000):
                    jobs.update(one for one in json.loads(body)["args"][:1] if isinstance(one, str))
    return jobs
