"""The API where workers do the jobs: queues, workers, record stores, and what Redis tells."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.redis import connection
from core.settings import Settings
from core.statements import dead_letters, submit
from core.statements.outbox import Entry

from ..service.conftest import (  # noqa: F401  # fixtures
    RedisServer,
    Start,
    redis_server,
    service,
    start,
    toy_service,
    until,
)
from .conftest import Listener, OpenSite, Site

Listen = Callable[..., Listener]


@pytest.fixture
def queued(open_site: OpenSite, toy_service: Settings) -> Site:  # noqa: F811
    """A server that puts jobs on queues."""
    return open_site(toy_service)


def test_a_job_waits_on_a_queue_until_a_worker_does_it(queued: Site, listen: Listen, start: Start) -> None:  # noqa: F811
    listener = listen(queued)
    first, second = queued.submit(), queued.submit()

    line = next(one for one in queued("GET", "/queues").json() if one["name"] == "encoding")
    assert (line["jobs"], line["served"]) == (2, False)
    assert line["oldest"]
    assert queued("GET", f"/jobs/{second}").json()["place"] == 2
    assert queued("POST", f"/jobs/{second}/cancel").json()["state"] == "cancelled"
    start("encoding", "callbacks")
    queued.wait(first, "succeeded")
    assert queued("GET", "/workers").json()[0]["queues"]
    until(
        lambda: [one for one in listener.named("job") if one["id"] == first and one["state"] == "succeeded"],
        what="heard",
    )
    assert queued("GET", f"/jobs/{first}/files/360p.mp4").text == "hello"
    until(lambda: queued("DELETE", f"/jobs/{first}").status_code == 204, what="it is over")
    until(lambda: {"id": first} in listener.named("removed"), what="its removal is heard")
    assert first not in [row["id"] for row in queued("GET", "/jobs").json()["rows"]]


def test_an_outage_of_redis_is_told_and_so_is_its_end(
    queued: Site,
    listen: Listen,
    redis_server: RedisServer,  # noqa: F811
) -> None:
    listener = listen(queued)
    queued.submit()
    redis_server.kill()
    until(lambda: listener.named("outage"), 10, "the outage is told")
    status, words = queued.refused("GET", "/jobs")
    assert (status, "does not answer" in words) == (503, True)
    redis_server.start()
    until(lambda: listener.named("back"), 10, "and its end")
    until(lambda: queued("GET", "/jobs").status_code == 200, what="it goes on")
    job = queued.submit()
    until(lambda: [one for one in listener.named("job") if one["id"] == job], 10, "events go on")


def test_dead_statements_are_seen_sent_again_and_dropped(queued: Site) -> None:
    settings = queued.services.settings
    box = submit.outbox(connection.client(settings), submit.INTAKE, settings)
    letters = [(Entry("", f'{{"id": "{number}"}}'), f"reason {number}") for number in range(4)]
    dead_letters.bury(box, "0", letters)

    (store,) = queued("GET", "/stores").json()
    assert (store["name"], store["dead"]) == ("intake", 4)
    dead = queued("GET", "/stores/intake/dead").json()
    assert [(one["statement"]["id"], one["words"]) for one in dead] == [(str(n), f"reason {n}") for n in range(4)]
    assert len(queued("GET", "/stores/intake/dead/export").text.splitlines()) == 4
    assert queued("POST", "/stores/intake/dead/drop", json={"ids": ["1"]}).json() == {"statements": 1}
    assert queued("POST", "/stores/intake/dead/retry", json={"ids": ["2"]}).json() == {"statements": 1}
    assert queued("POST", "/stores/intake/dead/retry").json() == {"statements": 2}
    assert queued("GET", "/stores").json()[0]["waiting"] == 3
    assert queued("GET", "/stores/intake/dead").json() == []
    assert queued.refused("GET", "/stores/none/dead")[0] == 404
