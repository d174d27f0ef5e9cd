"""What `amphipod serve` costs while many browsers listen to ten running jobs: `python -m benchmarks.listeners`.

A real Redis, ten real workers with their children, and the server in a process of its own, whose processor time counts.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests

from core import jobs, settings
from core.model import State

ENGINE = """
import time
from core import Artifact, StepOutput, hookimpl

@hookimpl
def encode(job, source, options, context):
    end = time.monotonic() + 600
    while time.monotonic() < end:
        context.progress(600 - (end - time.monotonic()), 600)
        time.sleep(0.05)
    return StepOutput(artifacts=())
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def wait_for(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on {port}")


def seconds_of(pid: int) -> float:
    """Return the processor time of a process; proc(5), fields 14 and 15."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> float:
    """Return the megabytes of a process' memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def listen(port: int, number: int) -> list[socket.socket]:
    """Open streams by plain sockets, so that this process has processor time left to read them."""
    found = []
    for _ in range(number):
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        found.append(one)
    return found


def measure(pid: int, listeners: list[socket.socket], seconds: float) -> tuple[float, int]:
    """Return the share of a core that the server takes, and the events that one listener hears."""
    before, begun, heard = seconds_of(pid), time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        for one in select.select(listeners, [], [], 0.2)[0]:
            data = one.recv(1 << 16)
            if one is listeners[0]:
                heard += data.count(b"event: job")
    return (seconds_of(pid) - before) / (time.monotonic() - begun), heard


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listeners", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder)
        plugin = root / "site" / "slow-1.0.dist-info"
        plugin.mkdir(parents=True)
        (root / "site" / "slow.py").write_text(ENGINE)
        (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
        (plugin / "entry_points.txt").write_text("[amphipod]\nslow = slow\n")
        (root / "a.mp4").write_text("a lecture")
        redis_port, port = free_port(), free_port()
        os.environ |= {
            "PYTHONPATH": str(root / "site"),
            "AMPHIPOD_BROKER_URL": f"redis://127.0.0.1:{redis_port}/0",
            "AMPHIPOD_JOBS_ROOT": str(root / "jobs"),
            "AMPHIPOD_MEDIA_ROOTS": str(root),
            "AMPHIPOD_RUN_DIR": str(root / "run"),
            "AMPHIPOD_PLUGINS_ONLY": "slow",
            "AMPHIPOD_SLOTS": str(asked.jobs),
        }
        stack.enter_context(running("redis-server", "--port", str(redis_port), "--save", "", "--dir", folder))
        wait_for(redis_port)
        # A process takes one heavy job at a time.
        flags = ("-p", str(asked.jobs), "-t", "1", "--queues", "encoding")
        worker = (sys.executable, "-m", "dramatiq", "core.actors", *flags)
        stack.enter_context(running(*worker))
        serve = stack.enter_context(running(sys.executable, "-m", "core.cli", "serve", "--port", str(port)))
        wait_for(port)
        sent = [jobs.submit("a.mp4", settings=settings.load()) for _ in range(asked.jobs)]
        while sum(jobs.status(job).state is State.RUNNING for job in sent) < asked.jobs:
            time.sleep(0.5)
        idle, _ = measure(serve.pid, [], asked.seconds)
        listeners = listen(port, asked.listeners)
        requests.get(f"http://127.0.0.1:{port}/api/v1/jobs", timeout=20).raise_for_status()
        measure(serve.pid, listeners, 3)
        share, heard = measure(serve.pid, listeners, asked.seconds)
        print(f"{asked.jobs} jobs run; nobody listens: {idle:.1%} of a core")
        print(f"{asked.listeners} listen: {share:.1%} of a core, {memory_of(serve.pid):.0f} MB,", end=" ")
        print(f"{heard / asked.seconds:.1f} rows a second heard by each")
        for one in listeners:
            one.close()


if __name__ == "__main__":
    main()
