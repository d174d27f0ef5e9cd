"""Ten thousand statements through all that a store may answer, a clock that leaps, and a stop while a store drips."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
import requests

from ..lrs import LOGIN, PASSWORD, RecordStoreServer
from .conftest import RedisServer, Start, until
from .test_statement_faults import Answer, Batch, Store
from .test_statement_faults import store as store  # a fixture
from .test_statements import Configure, _insist, dead, report, statement, time_of
from .test_statements import configure as configure  # a fixture
from .test_statements import lrs as lrs  # a fixture
from .test_statements import prepared_lrs as prepared_lrs  # a fixture

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

NUMBER, ACTORS = 10_000, 50

#: Statements before each fault, and some after the last.
SHARE = 1000

#: Seconds from the right time: far ahead, back before it, and right again.
LEAPS = (100 * 86400, -86400, 0)

#: Seconds that a stop may take: what requests in flight get, and the process' own end.
LONGEST_STOP = 20

#: Interposed in a process, it adds the seconds that a file has to the clock that people read, and to no other.
LEAPING = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset(void) {
    char text[32] = "";
    const char *path = getenv("CLOCK_OFFSET_FILE");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0 || read(file, text, sizeof text - 1) < 0) text[0] = 0;
    if (file >= 0) close(file);
    return atol(text);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += offset();
    return result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec fine;
    int result = clock_gettime(CLOCK_REALTIME, &fine);
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return result;
}
time_t time(time_t *also) {
    struct timespec fine;
    clock_gettime(CLOCK_REALTIME, &fine);
    if (also) *also = fine.tv_sec;
    return fine.tv_sec;
}
"""


class Clock:
    """The clock of processes that are started from now on."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.leap(0)

    def leap(self, offset: int) -> None:
        self.file.write_text(str(offset))
        time.sleep(1)


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer) -> Clock:
    """The clock of the host that the workers and Redis are on."""
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler is here")
    (tmp_path / "leaping.c").write_text(LEAPING)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", "leaping.so", "leaping.c"], cwd=tmp_path, check=True)
    one = Clock(tmp_path / "clock")
    monkeypatch.setenv("LD_PRELOAD", str(tmp_path / "leaping.so"))
    monkeypatch.setenv("CLOCK_OFFSET_FILE", str(one.file))
    redis_server.kill()
    redis_server.start()
    assert redis_server.client.time()[0] == pytest.approx(time.time(), abs=5)
    one.leap(LEAPS[0])
    assert redis_server.client.time()[0] == pytest.approx(time.time() + LEAPS[0], abs=5)
    one.leap(0)
    return one


class Shelf(Protocol):
    """What has been stored."""

    def count(self) -> int: ...

    def stored(self) -> Batch: ...


@pytest.fixture(params=["the tests' own store", "Ralph's"])
def shelf(request: pytest.FixtureRequest, store: Store) -> Shelf:
    """Ralph's server stands behind the tests' own, which minds what it is asked, and hands it on."""
    if request.param == "the tests' own store":
        return store
    server: RecordStoreServer = request.getfixturevalue("lrs")
    session = requests.Session()
    session.auth = (LOGIN, PASSWORD)
    session.headers["X-Experience-API-Version"] = "1.0.3"
    turn = threading.Lock()

    def answers(batch: Batch) -> Answer:
        with turn:
            answer = session.post(server.url, json=batch)
        return answer.status_code, answer.json() if answer.content else ""

    store.answers = answers
    return server


def test_through_whatever_a_store_answers_and_a_clock_that_leaps(
    configure: Configure, clock: Clock, start: Start, store: Store, shelf: Shelf
) -> None:
    settings = configure(store.url, xapi_longest_delay="1", xapi_time_limit="1")
    workers = [start("xapi", threads=8)]
    sent = [statement(actor, count) for count in range(NUMBER // ACTORS) for actor in range(ACTORS)]
    left = iter(sent)
    well = store.answers
    stops: list[float] = []

    def feed(number: int) -> None:
        while some := list(itertools.islice(left, min(50, number))):
            number -= len(some)
            _insist(some, settings)

    def for_a_while(answers: Callable[[Batch], Answer], seconds: float = 3) -> None:
        store.answers = answers
        time.sleep(seconds)
        store.answers = well

    def drip() -> None:
        store.drips = True
        time.sleep(3)
        store.drips = False

    def stop_while_it_drips() -> None:
        workers[-1].stop()
        patient = start("xapi", threads=8, xapi_time_limit="120")
        store.drips = True
        feed(SHARE)
        time.sleep(1)
        begun = time.monotonic()
        patient.stop(within=60)
        stops.append(time.monotonic() - begun)
        store.drips = False
        workers.append(start("xapi", threads=8))

    faults: list[Callable[[], object]] = [
        drip,
        lambda: for_a_while(lambda batch: (413, "too large") if len(batch) > 3 else well(batch)),
        lambda: for_a_while(lambda _batch: (503, "busy")),
        *(lambda to=to: clock.leap(to) for to in LEAPS),
        stop_while_it_drips,
        lambda: for_a_while(lambda _batch: (200, {"error": "no space"})),
    ]
    store.headers = {"Retry-After": str(10**12)}
    begun = time.monotonic()
    for fault in faults:
        feed(SHARE)
        fault()
    feed(NUMBER)
    until(lambda: shelf.count() >= NUMBER, 60 + NUMBER / 50, "all are stored")
    until(lambda: report(settings)["waiting"] == 0, 20, "nothing waits")

    took = time.monotonic() - begun
    print(f"{NUMBER} in {took:.0f} s, {store.requests} requests, a stop took {stops[0]:.1f} s")  # noqa: T201  # a figure
    stored = shelf.stored()
    assert sorted(one["id"] for one in stored) == sorted(one["id"] for one in sent), "each once"
    for actor in {one["actor"]["mbox"] for one in stored}:
        times = [time_of(one) for one in stored if one["actor"]["mbox"] == actor]
        assert times == sorted(times), f"the order of {actor}"
    assert dead(settings) == []
    assert stops[0] < LONGEST_STOP
