"""What the list of jobs costs when there are many: a page and a search, with a broker and without, and `amphipod jobs`.

    python benchmarks/job_index.py [JOBS]

Needs redis-server. Seconds of CPU, ours and Redis' together, so that a busy machine measures alike; the gates are those
of a list that feels immediate.
"""

from __future__ import annotations

import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import redis

from core.job_index import JobIndex, JobPage, JobQuery, RowState, open_index, rebuild
from core.model import Job, Source, State, now
from core.queue import job_rows
from core.queue.job_row import JobRow
from core.settings import Settings

#: Seconds, bytes.
PAGE_GATE, SEARCH_GATE, BYTES_GATE, COMMAND_GATE = 0.3, 0.3, 150_000, 0.5

_ROUNDS = 7
_SUBJECTS = ("Thermodynamique", "Droit public", "Soutenance", "Linear algebra", "Histoire médiévale", "Anatomy")


def row(number: int) -> JobRow:
    """Return a job of a busy service: most are done, some wait, a few have failed."""
    created = now() - timedelta(seconds=30 * number)
    state = (RowState.WAITING, RowState.FAILED, *[RowState.SUCCEEDED] * 8)[number % 10]
    return JobRow(
        id=f"{created:%Y%m%d-%H%M%S}-{number:08x}",
        state=state,
        title=f"{random.choice(_SUBJECTS)} {number}",
        source=f"lecture-{number}.mp4",
        created_at=created,
        changed_at=created + timedelta(minutes=10),
        steps={"encode": State.WAITING, "transcribe": State.WAITING},
        step=None if state is RowState.SUCCEEDED else "encode",
        queue="encoding" if state is RowState.WAITING else None,
        reason="encode: the source ends at 12:03: upload it again" if state is RowState.FAILED else None,
        duration=3000.0,
        correlation_id=f"video-{number}",
        words=f"/srv/media/videos/{number % 97:02}/lecture-{number}.mp4 {number}",
    )


def files(root: Path, rows: list[JobRow]) -> None:
    """Write the folders that jobs leave, as far as a list reads them."""
    for one in rows:
        folder = root / "jobs" / one.id
        (folder / "scratch").mkdir(parents=True)
        (folder / "steps").mkdir()
        job = Job(
            id=one.id,
            created_at=one.created_at,
            sources=(Source(path=Path("/srv/media") / one.source),),
            steps=("encode", "transcribe"),
            attributes={"title": one.title},
        )
        (folder / "request.json").write_text(job.to_json(), encoding="utf-8")


class Meter:
    """Measures what calls cost."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def _spent(self) -> float:
        cpu = self._client.info("cpu")
        return time.process_time() + float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])

    def seconds(self, call: Callable[[], object], *, rounds: int = _ROUNDS) -> float:
        taken = []
        for _ in range(rounds):
            began = self._spent()
            call()
            taken.append(self._spent() - began)
        return statistics.median(taken)


def tell(what: str, figure: float, gate: float, unit: str = "s") -> bool:
    shown, limit = (f"{one * 1000:.0f} ms" if unit == "s" else f"{one / 1000:.0f} kB" for one in (figure, gate))
    print(f"{what:<58} {shown:>9}   at most {limit}{'' if figure <= gate else '   TOO MUCH'}", flush=True)
    return figure <= gate


def size(page: JobPage) -> int:
    return len(page.model_dump_json().encode())


def of_redis(index: JobIndex, meter: Meter) -> list[bool]:
    seconds = meter.seconds
    first = index.page(JobQuery(limit=100))
    return [
        tell("first page of 100", seconds(lambda: index.page(JobQuery(limit=100))), PAGE_GATE),
        tell("its size", size(first), BYTES_GATE, "B"),
        tell("the second page", seconds(lambda: index.page(JobQuery(cursor=first.next_cursor))), PAGE_GATE),
        tell("failed ones", seconds(lambda: index.page(JobQuery(states=(RowState.FAILED,)))), PAGE_GATE),
        tell("search of a word that many have", seconds(lambda: index.page(JobQuery(text="medievale"))), SEARCH_GATE),
        tell("search of what the oldest has", seconds(lambda: index.page(JobQuery(text="lecture-1.mp4"))), SEARCH_GATE),
        tell("search of what none has", seconds(lambda: index.page(JobQuery(text="no such words"))), SEARCH_GATE),
        tell("counts", seconds(index.counts), PAGE_GATE),
    ]


def of_commands(environment: dict[str, str]) -> list[bool]:
    """Compare `amphipod jobs` with `amphipod --help`, alternating."""
    commands = (["jobs"], ["--help"])
    taken: dict[str, list[float]] = {"jobs": [], "--help": []}
    for _ in range(_ROUNDS):
        for words in commands:
            command = [sys.executable, "-m", "core.cli", *words]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            taken[words[0]].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    jobs, floor = statistics.median(taken["jobs"]), statistics.median(taken["--help"])
    print(f"{'amphipod jobs, amphipod --help':<58} {jobs * 1000:>6.0f} ms   {floor * 1000:.0f} ms")
    return [tell("amphipod jobs beyond --help", jobs - floor, COMMAND_GATE)]


def main() -> None:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(port), "--dir", folder, "--save", "", "--bind", "127.0.0.1"]
        server = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        try:
            good = run(jobs, Path(folder), port)
        finally:
            server.terminate()
            server.wait()
    sys.exit(not all(good))


def run(jobs: int, folder: Path, port: int) -> list[bool]:
    client = redis.Redis(port=port, decode_responses=True)
    address = f"redis://127.0.0.1:{port}/0"
    settings = Settings(broker_url=address, jobs_root=folder / "root")
    while True:
        try:
            client.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.05)
    rows = [row(number) for number in range(jobs)]
    meter = Meter(client)
    taken = meter.seconds(lambda: job_rows.write(client, rows), rounds=1)
    print(f"{jobs} jobs indexed in {taken:.1f} s, {client.info('memory')['used_memory_human']}")
    good = of_redis(open_index(settings), meter)
    environment = os.environ | {"AMPHIPOD_BROKER_URL": address, "AMPHIPOD_JOBS_ROOT": str(settings.jobs_root)}
    good += of_commands(environment)
    files(settings.jobs_root, rows)
    taken = meter.seconds(lambda: rebuild.rebuild(client, settings.jobs_root), rounds=1)
    print(f"{jobs} jobs indexed anew from their files in {taken:.1f} s")
    alone = settings.model_copy(update={"broker_url": None})
    good.append(
        tell("without a broker, first page", meter.seconds(lambda: open_index(alone).page(JobQuery())), PAGE_GATE)
    )
    return good


if __name__ == "__main__":
    main()
