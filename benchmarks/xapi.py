"""Statements a second into Ralph's record store: a worker that does what Esup-Pod's does, against ours.

    pip install celery requests && python benchmarks/xapi.py [ROUNDS]

Needs redis-server. Both workers stand ready; the clock runs from the first statement that is put on the queue to the
last one that is stored. Each round has both contestants, one after the other, each with an empty store; ours, which is
done in a moment, several times before and after Pod's, so that both see the same of what else the machine does. Gates:
20 times Pod's rate, more statements put on the queue a second than with Celery's `.delay`, 7000 anonymised a second of
the processor, and what waited for a store that was away drained at 0.8 of the rate at which it takes batches from a
loop that does nothing else, before and after.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import requests

from core import settings as settings_module
from core import submit_statements
from tests.lrs import LOGIN, PASSWORD, RecordStoreServer
from tests.service.conftest import RedisServer

NUMBER, GATE = 2000, 20.0
AROUND = 3
WAITING = 100_000
ANONYMIZED = 7000.0
DRAINED, DRAIN = 10_000, 0.8
ACTORS = 50

# Esup-Pod 4.1's pod/xapi/xapi_tasks.py: one request a statement, no session, only 200 counts.
POD = """
    import os, requests
    from celery import Celery
    from requests.auth import HTTPBasicAuth

    app = Celery("pod", broker=os.environ["BROKER"])
    app.conf.task_routes = {"pod.xapi.xapi_tasks.*": {"queue": "xapi"}}

    @app.task(name="pod.xapi.xapi_tasks.send_xapi_statement_task")
    def send_xapi_statement_task(statement):
        response = requests.post(
            os.environ["XAPI_LRS_URL"],
            json=statement,
            auth=HTTPBasicAuth(os.environ["XAPI_LRS_LOGIN"], os.environ["XAPI_LRS_PWD"]),
        )
        if response.status_code != 200:
            print("ERROR", response.status_code)
"""


def statements(number: int) -> list[dict[str, Any]]:
    """Captured "played" and "interacted" statements, under other ids and actors."""
    file = Path(__file__).parents[1] / "tests/service/pod_statements.jsonl"
    captured = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [
        captured[count % len(captured)]
        | {"id": str(uuid.uuid4()), "actor": {"name": "someone", "mbox": f"mailto:s{count % ACTORS}@univ-demo.fr"}}
        for count in range(number)
    ]


@contextmanager
def running(command: list[str], log: Path, ready: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file)
    while ready not in log.read_text():
        time.sleep(0.05)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def delivered(store: RecordStoreServer, put: Callable[[list[dict[str, Any]]], object], number: int) -> float:
    """Return statements a second, from the first put to the last stored."""
    store.empty()
    some = statements(number)
    began = time.perf_counter()
    put(some)
    while store.count() < number:
        time.sleep(0.005)
    return number / (time.perf_counter() - began)


def rate(put: Callable[[], object], number: int) -> float:
    began = time.perf_counter()
    put()
    return number / (time.perf_counter() - began)


def resident(process: subprocess.Popen[bytes]) -> int:
    """Return the bytes of a process and of its children."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in [str(process.pid), *children]]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        queue, pods = RedisServer(_made(folder / "redis")), RedisServer(_made(folder / "pods-redis"))
        store = RecordStoreServer(_made(folder / "lrs"))
        try:
            for server in (queue, pods):
                server.start()
            store.prepare()
            store.start()
            compare(folder, queue, pods, store, rounds)
        finally:
            for server in (queue, pods):
                server.kill()
            store.stop()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def compare(folder: Path, queue: RedisServer, pods: RedisServer, store: RecordStoreServer, rounds: int) -> None:
    os.environ |= {
        "AMPHIPOD_BROKER_URL": queue.url,
        "AMPHIPOD_JOBS_ROOT": str(folder / "root"),
        "BROKER": pods.url,
        "XAPI_LRS_URL": store.url,
        "XAPI_LRS_LOGIN": LOGIN,
        "XAPI_LRS_PWD": PASSWORD,
    }
    (folder / "pod_tasks.py").write_text(textwrap.dedent(POD))
    sys.path.insert(0, str(folder))
    import pod_tasks  # type: ignore[import-not-found]

    loaded = settings_module.load()
    delay = pod_tasks.send_xapi_statement_task.delay
    theirs = [sys.executable, "-m", "celery", "-A", "pod_tasks", "worker", "-c", "1", "-Q", "xapi", "-l", "INFO"]
    ours = [sys.executable, "-P", "-m", "dramatiq", "core.actors", "-p", "1", "-t", "8", "--queues", "xapi"]
    contestants: dict[str, tuple[list[str], str, Callable[[list[dict[str, Any]]], object]]] = {
        "pod": (theirs, "ready", lambda some: [delay(one) for one in some]),
        "amphipod": (ours, "ready for action", lambda some: submit_statements(some, settings=loaded)),
    }
    turns = ["amphipod", "pod", "amphipod"]
    pairs = []
    for _ in range(rounds):
        rates: dict[str, list[float]] = {who: [] for who in contestants}
        for who in turns:
            command, ready, put = contestants[who]
            with running(command, folder / f"{who}.log", ready, folder) as process:
                delivered(store, put, 10)  # connections and modules are there
                rates[who] += [delivered(store, put, NUMBER) for _ in range(AROUND if who == "amphipod" else 1)]
                print(f"{who}: {rates[who][-1]:.0f} statements/s, {resident(process) / 1e6:.0f} MB", flush=True)
        pairs.append(statistics.harmonic_mean(rates["amphipod"]) / rates["pod"][0])
    ratio = statistics.median(pairs)
    print(f"delivery: {ratio:.1f} times Pod's (gate {GATE:.0f}; rounds {', '.join(f'{one:.1f}' for one in pairs)})")
    enqueue = enqueueing(delay, loaded)
    validating()
    hidden = anonymising()
    drained = statistics.median(draining(queue, store, ours, folder) for _ in range(rounds))
    waiting(queue, ours, folder)
    sys.exit(ratio < GATE or enqueue < 1 or hidden < ANONYMIZED or drained < DRAIN)


def enqueueing(delay: Callable[[dict[str, Any]], object], loaded: settings_module.Settings) -> float:
    some = statements(NUMBER)
    theirs = rate(lambda: [delay(one) for one in some], NUMBER)
    one_by_one = rate(lambda: [submit_statements([one], settings=loaded) for one in some], NUMBER)
    together = rate(lambda: submit_statements(some, settings=loaded), NUMBER)
    print(
        f"enqueue: .delay {theirs:.0f}/s; submit_statements one by one {one_by_one:.0f}/s "
        f"({one_by_one / theirs:.1f} times), all at once {together:.0f}/s ({together / theirs:.1f} times)"
    )
    return one_by_one / theirs


def validating() -> None:
    from plugins.xapi.validation import complaint

    some = statements(NUMBER)
    complaint(some[0])
    print(f"validation: {rate(lambda: [complaint(one) for one in some], NUMBER):.0f} statements/s")


def anonymising() -> float:
    """Return statements a second of the processor's time, of 500 people."""
    from plugins.xapi.anonymize import Scheme, anonymised

    scheme = Scheme(b"a secret", "account", "https://pseudonym.invalid")
    named = [
        one | {"actor": {"name": f"Someone Number{count % 500}", "mbox": f"mailto:s.n{count % 500}@univ-demo.fr"}}
        for count, one in enumerate(statements(NUMBER))
    ]
    best = 0.0
    for _ in range(3):
        began = time.process_time()
        for one in named:
            anonymised(one, scheme)
        best = max(best, NUMBER / (time.process_time() - began))
    print(f"anonymising: {best:.0f} statements a second of the processor (gate {ANONYMIZED:.0f})")
    return best


def waiting(queue: RedisServer, command: list[str], folder: Path) -> None:
    """Put statements for a store that is away, and look at what they take."""
    queue.client.flushall()
    os.environ["XAPI_LRS_URL"] = "http://127.0.0.1:9/xAPI/statements"
    os.environ["AMPHIPOD_XAPI_WAITING_LIMIT"] = str(10 * WAITING)  # all in Redis, nothing on disk
    before = queue.client.info("memory")["used_memory"]
    with running(command, folder / "waiting.log", "ready for action", folder) as process:
        put_waiting(queue, WAITING)
        after = queue.client.info("memory")["used_memory"]
        print(
            f"{WAITING} waiting: {(after - before) / 1e6:.0f} MB in Redis "
            f"({(after - before) / WAITING:.0f} bytes each), {resident(process) / 1e6:.0f} MB in the worker"
        )


def put_waiting(queue: RedisServer, number: int) -> None:
    loaded = settings_module.load()
    for _ in range(number // 1000):
        submit_statements(statements(1000), settings=loaded)
    while sum(queue.client.xlen(key) for key in queue.client.scan_iter("amphipod:statements:lrs:?")) < number:
        time.sleep(0.2)


def own_rate(store: RecordStoreServer) -> float:
    """Return the rate at which a store takes batches from a loop that does nothing else."""
    store.empty()
    batches = [statements(100) for _ in range(DRAINED // 100)]
    with requests.Session() as session:
        session.auth = (LOGIN, PASSWORD)
        session.headers["X-Experience-API-Version"] = "1.0.3"
        began = time.perf_counter()
        for batch in batches:
            session.post(store.url, json=batch).raise_for_status()
        return DRAINED / (time.perf_counter() - began)


def draining(queue: RedisServer, store: RecordStoreServer, command: list[str], folder: Path) -> float:
    """Return the rate at which a store that was away gets what has waited, over that of a loop that does nothing else.

    Ralph's file store looks through all that it has at each request, so both begin with an empty one.
    """
    before = own_rate(store)
    store.stop()
    store.empty()
    queue.client.flushall()
    os.environ |= {"XAPI_LRS_URL": store.url, "AMPHIPOD_XAPI_LONGEST_DELAY": "1"}
    with running(command, folder / "draining.log", "ready for action", folder):
        put_waiting(queue, DRAINED)
        store.start()
        while not (begun := store.count()):
            time.sleep(0.005)
        began = time.perf_counter()
        while store.count() < DRAINED:
            time.sleep(0.1)  # counting reads the whole of it
        drained = (DRAINED - begun) / (time.perf_counter() - began)
    own = statistics.harmonic_mean([before, own_rate(store)])
    print(f"draining {DRAINED}: {drained:.0f} statements/s, {drained / own:.2f} of its {own:.0f} (gate {DRAIN})")
    return drained / own


if __name__ == "__main__":
    main()
