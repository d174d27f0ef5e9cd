"""Is this host fit for work, and does it agree with the others? What `amphipod doctor` looks at."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import pipeline, shadowing, storage
from core.errors import AmphipodError, EngineMissing
from core.findings import Finding
from core.hookspecs import NAME
from core.manager import Manager
from core.model import STEPS, Job, Source
from core.pipeline import Host
from core.pod import checkup as pod_checkup
from core.settings import Settings

if TYPE_CHECKING:
    import redis


def examine(host: Host) -> Iterator[Finding]:
    """Look at everything that this host needs for a job."""
    settings, manager = host.settings, host.manager
    try:
        yield Finding("installation", ok=True, words=str(shadowing.check()))
    except AmphipodError as error:
        yield Finding("installation", ok=False, words=str(error))
    yield _jobs_root(settings.jobs_root)
    for root in settings.media_roots:
        readable = root.is_dir() and os.access(root, os.R_OK | os.X_OK)
        yield Finding(f"media root {root}", ok=readable, words="readable" if readable else "not a readable folder")
    for info in manager.infos:
        words = f"{info.state}{', ' + info.reason if info.reason else ''}"
        yield Finding(
            f"plugin {info.name} ({info.distribution} {info.version})",
            ok=info.state not in ("invalid", "failed"),
            words=words,
        )
    yield from _steps(manager)
    if settings.broker_url:
        yield from _service(settings)
    yield from pod_checkup.examine(settings)


def _jobs_root(root: Path) -> Finding:
    subject = f"jobs root {root}"
    try:
        with storage.disk_errors(root):
            root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=root, prefix=".doctor-") as name:
                storage.write_once(Path(name) / "probe", "linked\n")
    except (AmphipodError, OSError) as error:
        return Finding(subject, ok=False, words=str(error))
    free = os.statvfs(root)
    return Finding(subject, ok=True, words=f"writable, takes links, {free.f_bavail * free.f_frsize / 1e9:.0f} GB free")


def _steps(manager: Manager) -> Iterator[Finding]:
    for step in STEPS:
        job = Job(id=pipeline.new_id(), sources=(Source(path=Path("any")),), steps=(step,))
        try:
            plan = manager.plan(job, step)
        except EngineMissing as error:
            yield Finding(f"step {step}", ok=True, words=f"not done here: {error.message}")
        except AmphipodError as error:
            yield Finding(f"step {step}", ok=False, words=str(error))
        else:
            origins = [f"{key} set by {origin}" for key, origin in sorted(plan.origins.items())]
            words = [f"done by {' or '.join(engine.plugin for engine in plan.engines)}", *origins]
            yield Finding(f"step {step}", ok=True, words=", ".join(words))


def _service(settings: Settings) -> Iterator[Finding]:
    from core import connection, workers

    subject = f"Redis {connection.redacted(settings)}"
    try:
        with connection.opened(settings) as client:
            client.ping()
            yield Finding(subject, ok=True, words="answers")
            yield _persistence(client, subject)
            found = list(workers.alive(client))
            yield from _unserved(client, found)
    except AmphipodError as error:
        yield Finding(subject, ok=False, words=str(error))
        return
    if not found:
        yield Finding("workers", ok=True, words="none is running")
    ours = version(NAME)
    for worker in found:
        subject = f"worker {worker['id']} ({', '.join(worker['queues'])})"
        if worker["version"] != ours:
            words = f"has amphipod {worker['version']}, this host {ours}: give all hosts the same version"
            yield Finding(subject, ok=False, words=words)
        elif workers.read_beacon(settings.jobs_root, worker["host"]) != worker["beacon"]:
            words = f"does not share this host's {settings.jobs_root}: mount the same folder on both"
            yield Finding(subject, ok=False, words=words)
        else:
            yield Finding(subject, ok=True, words=f"amphipod {ours}, shares {settings.jobs_root}")


def _unserved(client: redis.Redis, alive: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Tell of the queues on which messages wait that nobody reads."""
    from core import monitor

    for one in monitor.unserved(client, alive):
        queue, messages = one["queue"], one["messages"]
        words = f"messages waiting: {messages}, and no worker is running: start one with `amphipod worker {queue}`"
        yield Finding(f"queue {queue}", ok=False, words=words)


def _persistence(client: redis.Redis, subject: str) -> Finding:
    """Ask whether Redis survives its own end; a hosted one may refuse to say."""
    from redis import ResponseError

    try:
        appends = client.config_get("appendonly").get("appendonly") == "yes"
        saves = bool(client.config_get("save").get("save"))
    except ResponseError:
        return Finding(f"{subject} persistence", ok=True, words="not told; make sure that it writes to disk")
    if appends:
        return Finding(f"{subject} persistence", ok=True, words="append-only file")
    words = "snapshots only: jobs since the last one need `amphipod resume`" if saves else "none"
    return Finding(f"{subject} persistence", ok=False, words=f"{words}: set `appendonly yes`")
