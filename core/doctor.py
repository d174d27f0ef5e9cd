"""Is this host fit for work, and does it agree with the others? What `amphipod doctor` looks at."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import settings as settings_module
from core.errors import AmphipodError
from core.findings import Finding
from core.hookspecs import NAME
from core.model import Job, Source
from core.pipeline import lifecycle, planning
from core.pipeline.planning import Host, missing_steps
from core.plugin_host import installation
from core.plugin_host.manager import Manager
from core.pod import doctor as pod_checkup
from core.process import confinement
from core.redis import shared_root
from core.settings import Settings, plugin_settings, redaction
from core.storage import files

if TYPE_CHECKING:
    import redis

#: Seconds by which clocks may differ: what a signed callback and a reader of logs put up with.
CLOCKS_MAY_DIFFER = 5.0


def examine(host: Host, config: Path | None = None) -> Iterator[Finding]:
    """Look at everything that this host needs for a job; no finding holds a secret.

    :param config: the TOML file that was named, if one was.
    """
    clean = redaction.hider((host.settings, *host.manager.own_settings.values()))
    for finding in _examine(host):
        yield replace(finding, subject=clean(finding.subject), words=clean(finding.words))
    yield from _exposed(host.manager, settings_module.config_file(config), clean)


def _examine(host: Host) -> Iterator[Finding]:
    settings, manager = host.settings, host.manager
    try:
        yield Finding("installation", ok=True, words=str(installation.check()))
    except AmphipodError as error:
        yield Finding("installation", ok=False, words=str(error))
    yield _jobs_root(settings.jobs_root)
    for root in settings.media_roots:
        readable = root.is_dir() and os.access(root, os.R_OK | os.X_OK)
        yield Finding(f"media root {root}", ok=readable, words="readable" if readable else "not a readable folder")
    for near, words in settings_module.unknown_variables(manager.own_variables):
        yield Finding("environment", ok=False if near else None, words=words)
    yield from _plugins(manager, settings)
    yield from _steps(manager, settings)
    if unknown := sorted(settings.engines.keys() - manager.steps.specs.keys()):
        words = f"no plugin here brings the step {', '.join(unknown)}"
        yield Finding("AMPHIPOD_ENGINES", ok=None, words=words)
    if problem := planning.unknown_options(manager):
        yield Finding("AMPHIPOD_OPTIONS", ok=False, words=problem)
    yield _confinement(settings)
    yield from _reports(settings)
    if find_spec("fastapi"):
        yield _player()
    if settings.broker_url:
        yield from _service(settings)
    yield from pod_checkup.examine(settings)
    try:
        yield from manager.examine_host()
    except AmphipodError as error:
        yield Finding("plugins' own questions", ok=False, words=str(error))


def _plugins(manager: Manager, settings: Settings) -> Iterator[Finding]:
    for info in manager.infos:
        words = f"{info.state}{', ' + info.reason if info.reason else ''}"
        ok = False if info.is_broken else True if info.state == "ready" else None
        yield Finding(f"plugin {info.name} ({info.distribution} {info.version})", ok=ok, words=words)
    for name, own in manager.own_settings.items():
        words = ", ".join(f"{field}={value!r}" for field, value in own) or "none"
        yield Finding(f"settings of {name}", ok=True, words=words)
    for name in sorted(settings.plugin.keys() - {info.name for info in manager.infos}):
        yield Finding(f"[plugin.{name}]", ok=None, words="there is no such plugin here")


def _exposed(manager: Manager, config: Path | None, clean: Callable[[str], str]) -> Iterator[Finding]:
    """Tell of secrets that lie where every user of this host may read them."""
    found = settings_module.exposed()
    for name, own in manager.own_settings.items():
        found += plugin_settings.exposed(name, type(own))
    for file in found:
        words = f"{file.path} may be read by every user of this host: chmod o= {file.path}"
        yield Finding(file.place, ok=None, words=words)
    with suppress(OSError):
        jobs = manager.settings.jobs_root / "jobs"
        if jobs.stat().st_mode & (stat.S_IROTH | stat.S_IXOTH):
            words = f"every user of this host may look into them: chmod o= {jobs}"
            yield Finding(f"folder of jobs {jobs}", ok=None, words=words)
    with suppress(OSError, UnicodeDecodeError):
        if config and config.stat().st_mode & stat.S_IROTH and clean(text := config.read_text()) != text:
            words = f"holds secrets, and every user of this host may read it: chmod o= {config}"
            yield Finding(f"settings file {config}", ok=None, words=words)


def _jobs_root(root: Path) -> Finding:
    subject = f"jobs root {root}"
    try:
        with files.disk_errors(root):
            files.make_folder(root)
            with tempfile.TemporaryDirectory(dir=root, prefix=".doctor-") as name:
                files.write_once(Path(name) / "probe", "linked\n")
    except (AmphipodError, OSError) as error:
        return Finding(subject, ok=False, words=str(error))
    free = os.statvfs(root)
    return Finding(subject, ok=True, words=f"writable, takes links, {free.f_bavail * free.f_frsize / 1e9:.0f} GB free")


def _steps(manager: Manager, settings: Settings) -> Iterator[Finding]:
    for step in manager.steps.specs:
        own = planning.declared(manager, (step,))
        job = Job(id=lifecycle.new_id(), sources=(Source(path=Path("any")),), steps=(step,), declared=own)
        if not manager.engines(step) and step not in settings.engines:
            yield Finding(f"step {step}", ok=None, words=f"not done here: {missing_steps(manager)[step]}")
            continue
        try:
            plan = planning.make_plan(manager, job, step)
            manager.check_step(job, step, plan)
        except AmphipodError as error:
            yield Finding(f"step {step}", ok=False, words=str(error).removeprefix(f"{step}: "))
        else:
            origins = [f"{key} set by {origin}" for key, origin in sorted(plan.origins.items())]
            words = [f"done by {' or '.join(engine.plugin for engine in plan.engines)}", *origins]
            yield Finding(f"step {step}", ok=True, words=", ".join(words))
    if not any(map(manager.engines, manager.steps.specs)):
        yield Finding("steps", ok=False, words="no step is done here: pip install 'amphipod[all]'")


def _confinement(settings: Settings) -> Finding:
    if settings.confinement == "off":
        words = "off: whoever takes over a decoder by a film reads and writes all that this user may"
        return Finding("confinement", ok=None, words=words)
    lacks = [f"no {fence.name} ({fence.lack})" for fence in confinement.fences() if fence.lack]
    words = ", ".join(lacks) or "a step's process reaches its own files, no network and no program"
    return Finding("confinement", ok=not lacks or (None if settings.confinement == "auto" else False), words=words)


def _reports(settings: Settings) -> Iterator[Finding]:
    if settings.webhook_secret is None:
        words = "not set: webhooks can't be signed, and wait until it is"
        yield Finding("AMPHIPOD_WEBHOOK_SECRET", ok=None, words=words)


def _player() -> Finding:
    """Tell whether the pages have their player's controls, which a source checkout gets from npm."""
    is_built = (Path(__file__).parent / "web" / "static" / "vendor" / "versions.json").exists()
    words = "built" if is_built else "not built, films play with the browser's own controls: make assets"
    return Finding("player's controls", ok=is_built or None, words=words)


def _service(settings: Settings) -> Iterator[Finding]:
    from core.queue import workers
    from core.redis import connection, health

    subject = f"Redis {connection.redacted(settings)}"
    try:
        with connection.opened(settings) as client:
            client.ping()
            yield Finding(subject, ok=True, words="answers")
            for aspect, ok, words in health.examine(client):
                yield Finding(f"{subject} {aspect}", ok=ok, words=words)
            yield _shared_root(client, settings.jobs_root)
            yield _clocks(client, settings.jobs_root)
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
        elif worker.get("fault"):
            yield Finding(subject, ok=False, words=worker["fault"])
        elif worker["beacon"] is None:
            yield Finding(subject, ok=True, words=f"amphipod {ours}; no job was submitted yet")
        elif workers.read_beacon(settings.jobs_root, worker["host"]) != worker["beacon"]:
            words = f"does not share this host's {settings.jobs_root}: mount the same folder on both"
            yield Finding(subject, ok=False, words=words)
        else:
            yield Finding(subject, ok=True, words=f"amphipod {ours}, shares {settings.jobs_root}")


def _unserved(client: redis.Redis, alive: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Tell of the queues on which messages wait that nobody reads."""
    from core.queue import monitor

    for one in monitor.unserved(client, alive):
        queue, messages = one["queue"], one["messages"]
        words = f"messages waiting: {messages}, and no worker is running: start one with `amphipod worker {queue}`"
        yield Finding(f"queue {queue}", ok=False, words=words)


def _shared_root(client: redis.Redis, root: Path) -> Finding:
    subject = f"jobs root {root} of the service"
    fault = shared_root.examine(client, root)
    if fault is None:
        return Finding(subject, ok=True, words="the first job that is submitted will mark it")
    if fault:
        return Finding(subject, ok=False, words=f"{fault}: {shared_root.REMEDY}")
    return Finding(subject, ok=True, words="the one that Redis knows")


def _clocks(client: redis.Redis, root: Path) -> Finding:
    """Compare what this host takes for the time with Redis and with the shared file system."""
    from core.redis import clock

    ahead = {"Redis": time.time() - clock.now(client)}
    with suppress(AmphipodError, OSError):
        ahead[str(root)] = time.time() - files.clock(root)
    wrong = {
        name: f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} {name}"
        for name, seconds in ahead.items()
        if abs(seconds) > CLOCKS_MAY_DIFFER
    }
    if wrong:
        return Finding("clock", ok=False, words=f"{' and '.join(wrong.values())}: have all hosts set theirs by NTP")
    return Finding("clock", ok=True, words=f"agrees with {' and '.join(ahead)}")
