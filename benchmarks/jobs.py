"""What `amphipod jobs --json` costs, as a ratio to `python -c 'import dramatiq'`, with empty and with full queues.

    python benchmarks/jobs.py [ROUNDS]

Needs redis-server. CPU seconds (user and system) of alternating runs; the gate is a ratio of at most 4 when empty.
"""

from __future__ import annotations

import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import redis

from core.redis.keys import NAMESPACE

GATE = 4.0
WAITING = 50_000


def cpu_seconds(command: list[str], environment: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(rounds: int, environment: dict[str, str]) -> tuple[float, float]:
    """Return the medians of (importing Dramatiq, `amphipod jobs`)."""
    commands = ([sys.executable, "-c", "import dramatiq"], [sys.executable, "-m", "core.cli", "jobs", "--json"])
    for command in commands:
        cpu_seconds(command, environment)  # compiled and in the file cache
    pairs = [[cpu_seconds(command, environment) for command in commands] for _ in range(rounds)]
    floor, jobs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return floor, jobs


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(port), "--dir", folder, "--save", "", "--bind", "127.0.0.1"]
        server = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        try:
            run(rounds, redis.Redis(port=port), os.environ | {"AMPHIPOD_BROKER_URL": f"redis://127.0.0.1:{port}/0"})
        finally:
            server.terminate()
            server.wait()


def run(rounds: int, client: redis.Redis, environment: dict[str, str]) -> None:
    while True:
        try:
            client.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.05)
    empty = measure(rounds, environment)
    with client.pipeline() as pipe:
        for number in range(WAITING):
            pipe.rpush(f"{NAMESPACE}:encoding", f"id-{number}")
            pipe.hset(f"{NAMESPACE}:encoding.msgs", f"id-{number}", "x" * 400)
        pipe.execute()
    full = measure(rounds, environment)
    print("| queues | import dramatiq, CPU s | amphipod jobs, CPU s | ratio |\n|---|---|---|---|")
    for name, (floor, jobs) in (("empty", empty), (f"{WAITING} waiting", full)):
        print(f"| {name} | {floor:.3f} | {jobs:.3f} | {jobs / floor:.2f} |")
    print(
        f"gate: {empty[1] / empty[0]:.2f} <= {GATE} when empty: {'holds' if empty[1] / empty[0] <= GATE else 'MISSED'}"
    )


if __name__ == "__main__":
    main()
