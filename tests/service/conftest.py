"""A real Redis on a free port, and real workers, each a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from core import jobs
from core.jobs import Status
from core.settings import Settings

from ..conftest import TOY_ENGINE, InstallPlugin

#: Clocks of the tests; production's are the settings' defaults.
HASTY = {"LEASE_SECONDS": "3", "HEARTBEAT_SECONDS": "2", "RETRY_SECONDS": "0.5"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], within: float = 20.0, what: str = "") -> Any:
    """Wait for a condition to hold, and return what it answered."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"did not happen within {within} s: {what or condition}")


@dataclass
class RedisServer:
    """A redis-server that can be killed and started again."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, decode_responses=True)

    def start(self) -> None:
        options = ["--port", str(self.port), "--dir", str(self.folder), "--save", "", "--bind", "127.0.0.1"]
        persistence = ["--appendonly", "yes", "--appendfsync", "always", "--loglevel", "warning"]
        self.process = subprocess.Popen(["redis-server", *options, *persistence], stdout=subprocess.DEVNULL)

        def answers() -> bool:
            try:
                return bool(self.client.ping())
            except redis.ConnectionError:
                return False

        until(answers, what="redis-server starts")

    def kill(self, *, data: bool = True) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()
        if not data:
            for path in sorted(self.folder.rglob("*"), reverse=True):
                path.unlink() if path.is_file() else path.rmdir()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def service(redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings, in the environment too, of hosts that share a Redis and a folder; their engine is the toy."""
    media = tmp_path / "media"
    media.mkdir()
    (media / "a.mp4").write_text("a lecture")
    settings = {
        "BROKER_URL": redis_server.url,
        "JOBS_ROOT": str(tmp_path / "root"),
        "MEDIA_ROOTS": str(media),
        "RUN_DIR": str(tmp_path / "run"),
        **HASTY,
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"AMPHIPOD_{name}", value)
    from core import settings as module

    return module.load()


@pytest.fixture
def toy_service(service: Settings, install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch) -> Settings:
    install_plugin("toy", TOY_ENGINE)
    monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy")
    return service.model_copy(update={"plugins_only": ("toy",)})


@dataclass
class Worker:
    """A `dramatiq` with its processes."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pids(self) -> list[int]:
        """The worker processes below Dramatiq's master."""
        return children(self.process.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the worker processes, not to their master."""
        for pid in self.pids:
            os.kill(pid, number)

    def stop(self, within: float = 20.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within)


Start = Callable[..., Worker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `dramatiq core.actors` on queues, as a person would; any settings may be given for this one alone."""
    workers: list[Worker] = []

    def begin(
        *queues: str, processes: int = 1, threads: int = 1, flags: tuple[str, ...] = (), **settings: str
    ) -> Worker:
        log = tmp_path / f"worker-{len(workers)}.log"
        environment = os.environ | {f"AMPHIPOD_{name.upper()}": value for name, value in settings.items()}
        command = [sys.executable, "-m", "dramatiq", "core.actors", "-p", str(processes), "-t", str(threads), *flags]
        with log.open("wb") as file:
            process = subprocess.Popen([*command, "--queues", *queues], env=environment, stderr=file, stdout=file)
        worker = Worker(process, log)
        workers.append(worker)
        until(lambda: worker.log.read_text().count("ready for action") >= processes, what=f"worker of {queues} starts")
        return worker

    yield begin
    for worker in workers:
        if worker.process.poll() is None:
            for pid in [*worker.pids, worker.process.pid]:
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGKILL)
        worker.process.wait()


Submit = Callable[..., str]


@pytest.fixture
def submit(toy_service: Settings) -> Submit:
    """Submit a job whose toy engine does the things that are named."""

    def send(*, output: Path | None = None, key: str | None = None, priority: Any = "normal", **do: Any) -> str:
        return jobs.submit(
            "a.mp4", output=output, options={"do": do}, idempotency_key=key, priority=priority, settings=toy_service
        )

    return send


@pytest.fixture
def ended(toy_service: Settings) -> Callable[..., Status]:
    """Wait for a job's end."""

    def wait(job: str, within: float = 30.0) -> Status:
        def final() -> Status | None:
            current = jobs.status(job, settings=toy_service)
            return current if current.state.is_final and _is_closed(toy_service, job) else None

        status = until(final, within, f"job {job} ends")
        assert isinstance(status, Status)
        return status

    return wait


def _is_closed(settings: Settings, job: str) -> bool:
    return (settings.jobs_root / "jobs" / job / "manifest.json").exists()


def child_of(job: str, within: float = 20.0) -> int:
    """Wait until the toy engine sleeps in this job, and return its process."""
    file = Path(os.environ["TMPDIR"]) / f"child-{job}"
    return int(until(lambda: file.exists() and file.read_text(), within, f"the child of {job} begins"))


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def result_of(settings: Settings, job: str, step: str = "encode", run: int = 1) -> dict[str, Any]:
    path = settings.jobs_root / "jobs" / job / "steps" / f"{step}.{run}.json"
    result: dict[str, Any] = json.loads(path.read_text())
    return result


def leftovers(settings: Settings, job: str) -> list[str]:
    return [path.name for path in (settings.jobs_root / "jobs" / job / "scratch").glob("*")]


def leases(server: RedisServer) -> list[str]:
    return sorted(server.client.scan_iter("amphipod:lease:*"))
