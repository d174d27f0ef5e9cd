"""Parts of a job go onto their queue a few at a time, so that other jobs' turns come in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from core.pipeline.task import PartTask
from core.queue import names, status, workers
from core.worker.context import WorkerContext, WorkItem, insist, send

if TYPE_CHECKING:
    import redis


def send_parts(worker: WorkerContext, item: WorkItem, missing: Sequence[PartTask]) -> None:
    """Send as many of a step's parts as have room beside those that are waiting or at work.

    Called when a step was divided and after each of its parts. Whoever dies between sending a part and noting it has
    it sent twice, which costs a look.

    :param missing: the parts that nobody has committed, as far as can be seen from here, in order.
    """
    if not missing:
        return
    folder, step = item.folder, item.task.step
    run = folder.run()
    sent, done = insist(worker, lambda: status.parts_under_way(worker.redis, folder.id, step, run))
    open_ = [task for task in missing if task.part not in done]
    under_way = sum(task.part in sent for task in open_)
    queue = names.queue_of(step, folder.job())
    room = insist(worker, lambda: _room(worker.redis, queue, worker.host.settings.job_slots)) - under_way
    for task in [task for task in open_ if task.part not in sent][: max(room, 0)]:
        send(worker, replace(item, task=task, tries=0), 0)
        insist(worker, partial(status.part_sent, worker.redis, folder.id, step, run, task.part))


def _room(client: redis.Redis, queue: str, most: int) -> int:
    """Return how many parts of one job may be under way: one more than hosts have slots, or as many as a setting says.

    The one more is there for a host that joins in, and for whoever is done first.
    """
    if most:
        return most
    slots = {
        about["gate"]: int(about["slots"])
        for about in workers.alive(client)
        if queue in about["queues"] and not about.get("fault") and "gate" in about
    }
    return max(sum(slots.values()), 1) + 1
