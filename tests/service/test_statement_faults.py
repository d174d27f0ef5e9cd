"""What a store, a statement or a full Redis can do: what is not delivered does not count so, and the rest goes on.

The stores are real servers of the tests' own, which answer as they are told.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import redis

from core import submit_statements
from core.errors import BadCall, OutOfReach
from core.queue import lease
from core.redis import connection
from core.settings import Settings
from core.statements import dead_letters
from core.statements import submit as waiting
from core.statements.outbox import PARTITIONS
from core.statements.submit import PartlyKept
from plugins.xapi.lrs import Client
from plugins.xapi.settings import RecordStore

from ..conftest import InstallPlugin
from .conftest import RedisServer, Start, until
from .test_statements import Configure, amphipod, dead, report, statement
from .test_statements import configure as configure  # a fixture

Batch = list[dict[str, Any]]

#: What a store answers: a status, and what is written as JSON, or words as they are.
Answer = tuple[int, Any]


def ids(batch: Batch) -> Answer:
    return 200, [one["id"] for one in batch]


def breaches(headers: Message, batch: Any) -> list[str]:
    """Return what a client must not do by xAPI 1.0.3 (2.1, 2.2 of its data, 2.1, 3.1 and 3.3 of its communication)."""
    found = []
    if headers.get("X-Experience-API-Version") != "1.0.3":
        found.append("the version is not said")
    if headers.get_content_type() != "application/json":
        found.append("the content is not said to be JSON")
    if not isinstance(batch, list) or not 0 < len(batch) <= 100:
        return [*found, "not an array of statements"]
    ids = [one.get("id") for one in batch]
    found += [f"{one} is no UUID" for one in ids if str(uuid.UUID(one)) != one]
    if len(set(ids)) != len(ids):
        found.append("an id twice in one request")
    for one in batch:
        found += [f"no {field}" for field in ("actor", "verb", "object") if field not in one]
        if datetime.fromisoformat(one["timestamp"]).tzinfo is None:
            found.append("a timestamp without a time zone")
        found += [f"{field} is the store's to set" for field in ("stored", "authority") if field in one]
        found += [f"{path} is null" for path in _nulls(one)]
    return found


def _nulls(value: Any, path: str = "") -> Iterator[str]:
    """Yield where null stands outside of extensions, where only it may."""
    if value is None:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, below in items:
        if name != "extensions":
            yield from _nulls(below, f"{path}.{name}")


class Store:
    """A store that minds xAPI, and whose answers are a function that a test may change while it runs."""

    def __init__(self) -> None:
        self.answers: Callable[[Batch], Answer] = ids
        self.taken: Batch = []
        self.requests = 0
        #: What was asked against xAPI.
        self.breaches: list[str] = []
        self.connections = 0
        #: Headers of answers that take nothing.
        self.headers: dict[str, str] = {}
        #: An answer's body comes a byte at a time, and never ends.
        self.drips = False
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                store.connections += 1
                super().setup()

            def do_POST(self) -> None:
                batch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                store.breaches += breaches(self.headers, batch)
                if store.drips:
                    self.drip()
                    return
                status, said = store.answers(batch)
                store.requests += 1
                if status == 200 and said == ids(batch)[1]:
                    store.taken += batch
                body = (said if isinstance(said, str) else json.dumps(said)).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if isinstance(said, str) else "application/json")
                self.send_header("Content-Length", str(len(body)))
                for name, value in store.headers.items() if status != 200 else ():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def drip(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "1000000")
                self.end_headers()
                with suppress(OSError):
                    while store.drips:
                        self.wfile.write(b" ")
                        time.sleep(0.05)

            def do_GET(self) -> None:
                asked = parse_qs(urlsplit(self.path).query)
                has = asked.get("statementId", [""])[0] in store.names()
                self.send_response(200 if has else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client has given up
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/xAPI/statements"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def count(self) -> int:
        return len(self.taken)

    def stored(self) -> Batch:
        return self.taken

    def names(self) -> set[str]:
        return {one["id"] for one in self.taken}


@pytest.fixture
def store() -> Iterator[Store]:
    one = Store()
    yield one
    one.server.shutdown()
    one.server.server_close()
    assert one.breaches == []


@pytest.fixture
def hasty(configure: Configure, store: Store) -> Settings:
    return configure(store.url, xapi_longest_delay="0.3", xapi_statement_tries="3", xapi_statement_patience="0.5")


class TestAnswers:
    def test_200_without_our_ids_is_no_delivery(self, hasty: Settings, start: Start, store: Store) -> None:
        sent = [statement(actor) for actor in range(3)]
        submit_statements(sent, settings=hasty)
        answers: list[tuple[Any, str]] = [
            ({"error": "no space"}, """answers '{"error": "no space"}', not the ids of the statements"""),
            ([], "answers '[]', not the ids of the statements"),
            (["6690e6c9-3ef0-4ed3-8b37-7f3964730bee"], "-7f3964730bee\"]', not the ids of the statements"),
            ("<html>Sign in</html>", "answers text/html, not JSON"),
        ]
        store.answers = lambda _batch: (200, answers[0][0])
        start("xapi", threads=8)
        for said, words in answers:
            store.answers = lambda _batch, said=said: (200, said)  # type: ignore[misc]
            until(lambda words=words: words in report(hasty)["alarm"], what="the alarm says so")  # type: ignore[misc]
            assert (report(hasty)["waiting"], dead(hasty)) == (3, [])

        store.answers = ids

        until(lambda: store.names() == {one["id"] for one in sent}, what="it is tried again")
        until(lambda: report(hasty)["alarm"] == "", what="the alarm ends with its cause")

    def test_a_store_that_names_only_what_is_new_to_it_is_asked_about_the_rest(
        self, hasty: Settings, start: Start, store: Store
    ) -> None:
        sent = [statement(1, number) for number in range(4)]
        known = {one["id"] for one in sent[:2]}

        def ralph(batch: Batch) -> Answer:
            new = [one["id"] for one in batch if one["id"] not in known]
            known.update(new)
            return (200, new) if new else (204, "")

        store.answers = ralph
        submit_statements(sent, settings=hasty)
        start("xapi", threads=8)
        until(lambda: report(hasty)["sent"] == 4, what="all count as delivered")
        assert (store.requests, report(hasty)["alarm"]) == (2, "")

    def test_one_that_does_not_end_is_no_delivery_and_holds_no_lane(
        self, configure: Configure, start: Start, store: Store
    ) -> None:
        settings = configure(store.url, xapi_longest_delay="0.3", xapi_time_limit="0.5")
        store.drips = True
        sent = statement(1)
        submit_statements([sent], settings=settings)
        start("xapi", threads=8)
        until(lambda: "does not answer within" in report(settings)["alarm"], what="the alarm says so")

        store.drips = False

        until(lambda: sent["id"] in store.names(), what="it is tried again")

    def test_a_connection_serves_many_requests(self, store: Store) -> None:
        client = Client(RecordStore(name="lrs", url=store.url), 5)
        for number in range(3):
            client.deliver([statement(1, number)])

        assert (store.requests, store.connections) == (3, 1)

    def test_a_conflict_over_a_statement_that_the_store_has_not_is_no_delivery(
        self, hasty: Settings, start: Start, store: Store
    ) -> None:
        known, new = statement(1, 1), statement(1, 2)
        store.taken.append(known)
        store.answers = lambda _batch: (409, "busy")
        submit_statements([known, new], settings=hasty)
        start("xapi", threads=8)

        until(lambda: "answers 409 and has no such statement: busy" in report(hasty)["alarm"], what="the alarm says so")
        assert (report(hasty)["sent"], report(hasty)["waiting"]) == (1, 1)

        store.answers = ids

        until(lambda: new["id"] in store.names(), what="it is tried again")


class TestOneStatement:
    """One that a store never takes costs no other."""

    def test_is_set_aside_with_the_stores_words(self, hasty: Settings, start: Start, store: Store) -> None:
        sent = [statement(1, number) for number in range(30)]
        bad = {sent[13]["id"]: 500, sent[22]["id"]: 403}

        def answers(batch: Batch) -> Answer:
            faults = [bad[one["id"]] for one in batch if one["id"] in bad]
            return (faults[0], {"detail": "<script>"}) if faults else ids(batch)

        store.answers = answers
        submit_statements(sent, settings=hasty)
        start("xapi", threads=8)

        letters = until(lambda: len(found := dead(hasty)) == 2 and found, 60, "they are set aside")
        until(lambda: len(store.taken) == 28, what="the others are taken")
        assert [letter["statement"]["id"] for letter in letters] == list(bad)
        for letter, status in zip(letters, ("answers 500", "(403)"), strict=True):
            assert letter["words"].startswith("failed 3 times, while the store took others: http://127.0.0.1:")
            assert status in letter["words"]
        until(lambda: report(hasty)["alarm"] == "", what="the alarm ends with its cause")

    def test_keeps_its_alarm_while_others_are_taken(
        self,
        configure: Configure,
        start: Start,
        store: Store,
    ) -> None:
        settings = configure(store.url, xapi_longest_delay="0.3")
        poison = statement(0)
        partition = waiting.partition_of(poison)
        others = [one for one in map(statement, range(1, 60)) if waiting.partition_of(one) != partition]
        store.answers = lambda batch: (500, {}) if poison["id"] in ids(batch)[1] else ids(batch)
        submit_statements([poison], settings=settings)
        start("xapi", threads=8)
        until(lambda: report(settings)["alarm"], what="it is noticed")

        for number, one in enumerate(others[:10], 1):
            submit_statements([one], settings=settings)
            until(lambda: len(store.taken) == number, what="neighbours don't wait")  # noqa: B023
            assert "500" in report(settings)["alarm"]

    @pytest.mark.long
    def test_an_outage_sets_nothing_aside(self, hasty: Settings, start: Start, store: Store) -> None:
        store.answers = lambda _batch: (500, {"detail": "out of order"})
        sent = [statement(actor) for actor in range(40)]
        submit_statements(sent, settings=hasty)
        start("xapi", threads=8)
        asked = store.requests
        until(lambda: store.requests > asked + 25, 40, "it is asked for long")
        assert dead(hasty) == []
        store.answers = ids
        until(lambda: store.names() == {one["id"] for one in sent}, what="all are taken")


@pytest.mark.long
class TestAStoreThatRefusesEverything:
    def test_gets_no_statement_set_aside_until_it_has_taken_one(
        self, hasty: Settings, start: Start, store: Store
    ) -> None:
        store.answers = lambda _batch: (400, {"detail": "no version header"})
        sent = [statement(actor) for actor in range(40)]
        submit_statements(sent, settings=hasty)
        start("xapi", threads=8)
        until(lambda: store.requests > 60, 40, "it is asked again and again")
        assert dead(hasty) == []
        assert report(hasty)["waiting"] == 40
        assert "refuses every statement (400: no version header)" in report(hasty)["alarm"]

        bad = sent[7]["id"]
        store.answers = lambda batch: (400, {"detail": "bad"}) if bad in ids(batch)[1] else ids(batch)

        until(lambda: len(store.taken) == 39, what="all but the bad one are taken")
        (letter,) = until(lambda: dead(hasty), what="the bad one is set aside")
        assert letter["words"] == "400: bad"


@pytest.mark.long
class TestRedisWithoutItsData:
    def test_every_store_and_dead_letter_is_still_known(
        self, hasty: Settings, start: Start, store: Store, redis_server: RedisServer
    ) -> None:
        bad = statement()
        store.answers = lambda batch: (400, {"detail": "bad"}) if bad["id"] in ids(batch)[1] else ids(batch)
        submit_statements([bad, statement()], settings=hasty)
        worker = start("xapi", threads=8)
        until(lambda: dead(hasty), what="it is dead")
        worker.stop()

        redis_server.client.flushall()

        assert set(json.loads(amphipod("statements", "--json").stdout)) == {"intake", "lrs"}
        assert bad["id"] in amphipod("statements", "dead").stdout
        assert amphipod("statements", "dead", "--retry", "--json").stdout == '{"retried": 1}\n'
        assert report(hasty)["waiting"] == 1
        assert dead(hasty) == []


class TestRedisAtItsMemoryLimit:
    def full(self, server: RedisServer) -> None:
        server.client.config_set("maxmemory-policy", "noeviction")
        server.client.config_set("maxmemory", 1)
        with pytest.raises(redis.OutOfMemoryError):
            server.client.set("x", "y")

    def test_what_waits_is_delivered_and_what_comes_too(
        self, hasty: Settings, start: Start, store: Store, redis_server: RedisServer, tmp_path: Path
    ) -> None:
        before = [statement(actor, 1) for actor in range(100)]
        submit_statements(before, settings=hasty)
        start("xapi", threads=8)
        until(lambda: len(store.taken) == 100, what="all is well")
        store.answers = lambda _batch: (503, {})
        waits = [statement(actor, 2) for actor in range(300)]
        submit_statements(waits, settings=hasty)
        until(lambda: report(hasty)["waiting"] == 300, what="they wait for the store")

        self.full(redis_server)
        comes = [statement(actor, 3) for actor in range(50)]
        assert submit_statements(comes, settings=hasty) == [one["id"] for one in comes]
        assert list((tmp_path / "root/statements/_intake").rglob("*.jsonl"))
        store.answers = ids

        until(lambda: len(store.taken) >= 450, 60, "all are delivered")
        assert store.names() == {one["id"] for one in (*before, *waits, *comes)}
        assert len(store.taken) == 450, "each once"
        until(lambda: report(hasty)["waiting"] == 0, what="nothing waits")
        assert not list((tmp_path / "root/statements").rglob("*.jsonl"))

    def test_a_lease_is_taken_renewed_and_given_back(self, service: Settings, redis_server: RedisServer) -> None:
        self.full(redis_server)
        with connection.opened(service) as client:
            with lease.hold(client, "a", 5) as held:
                held.confirm()
                with pytest.raises(lease.LeaseHeld), lease.hold(client, "a", 5):
                    pass
            with lease.hold(client, "a", 5):
                pass


class TestSubmitting:
    def test_what_was_kept_before_a_fault_is_delivered_and_the_exception_has_the_rest(
        self,
        hasty: Settings,
        start: Start,
        store: Store,
        redis_server: RedisServer,
        small_disk: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Redis is full, and so is the disk after some partitions."""
        monkeypatch.setenv("AMPHIPOD_JOBS_ROOT", str(small_disk))
        settings = hasty.model_copy(update={"jobs_root": small_disk})
        sent = [statement(actor) for actor in range(40)]
        with (small_disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while filler.write(bytes(4096)):
                pass
        os.truncate(small_disk / "filler", (small_disk / "filler").stat().st_size - 5 * 4096)
        redis_server.client.config_set("maxmemory", 1)

        with pytest.raises(PartlyKept) as caught:
            submit_statements(sent, settings=settings)

        rest = len(caught.value.rest)
        assert 0 < rest < 40
        assert str(caught.value).startswith(f"{40 - rest} of 40 statements will be delivered, the others not: ")
        (small_disk / "filler").unlink()
        submit_statements(caught.value.rest, settings=settings)
        start("xapi", threads=8)
        until(lambda: len(store.taken) >= 40, what="all are delivered")
        assert sorted(store.names()) == sorted(one["id"] for one in sent)
        assert len(store.taken) == 40, "each once"

    def test_what_is_on_disk_is_found_without_a_word_of_redis(
        self, hasty: Settings, start: Start, store: Store, redis_server: RedisServer
    ) -> None:
        redis_server.client.config_set("maxmemory", 1)
        submit_statements([statement()], settings=hasty)
        redis_server.client.flushall()
        redis_server.client.config_set("maxmemory", 0)
        start("xapi", threads=8)
        until(lambda: len(store.taken) == 1, what="it is delivered")

    def test_nothing_was_sent_when_redis_is_away(self, hasty: Settings, redis_server: RedisServer) -> None:
        redis_server.kill()
        with pytest.raises(OutOfReach) as caught:
            submit_statements([statement()], settings=hasty)
        assert not isinstance(caught.value, PartlyKept)

    @pytest.mark.parametrize(
        ("field", "words"),
        [
            ("x" * 200_000, "bytes: send at most 131072, or raise AMPHIPOD_XAPI_STATEMENT_LIMIT"),
            (60, "is nested more than 50 deep: make it flatter, or raise AMPHIPOD_XAPI_DEPTH_LIMIT"),
            (100_000, "is nested too deep"),
        ],
    )
    def test_what_is_too_large_or_too_deep_is_refused(self, field: Any, words: str, hasty: Settings) -> None:
        if isinstance(field, int):
            depth, field = field, "x"
            for _ in range(depth):
                field = [field]
        with pytest.raises(BadCall, match=words):
            submit_statements([statement(result={"response": field})], settings=hasty)
        assert report(hasty, waiting.INTAKE)["waiting"] == 0


CLUMSY = """
import time
from core import hookimpl

@hookimpl
def prepare_statement(statement, destination):
    said = statement["result"].get("response")
    if said == "sleep":
        time.sleep(3600)
    if said == "recurse":
        return prepare_statement(statement, destination)
    if said == "fill":
        raise MemoryError
    if said == "exit":
        raise SystemExit(3)
"""


class TestTheIntake:
    def test_whatever_one_statement_does_it_is_set_aside_and_the_others_go_on(
        self, hasty: Settings, start: Start, store: Store, install_plugin: InstallPlugin, redis_server: RedisServer
    ) -> None:
        install_plugin("clumsy", CLUMSY)
        worker = start("xapi", threads=8, xapi_preparation_limit="0.3")
        submit_statements([statement(9)], settings=hasty)
        until(lambda: len(store.taken) == 1, what="plugins are loaded")
        said = ["sleep", "recurse", "fill", "exit", "\\ud800"]
        bad = [statement(1, result={"response": one}) for one in said]
        good = [statement(1, number) for number in range(len(bad))]
        mixed = [one for pair in zip(bad, good, strict=True) for one in pair]
        submit_statements(mixed, settings=hasty)
        box = f"amphipod:statements:_intake:{waiting.partition_of(bad[0])}"
        for line in ("no JSON", "[" * 100_000, "[]", json.dumps({"id": "x" * 200_000})):
            redis_server.client.xadd(box, {"s": line})

        until(lambda: len(store.taken) >= 1 + len(good), 20, "the good ones are delivered")
        letters = until(lambda: len(found := dead(hasty, waiting.INTAKE)) >= 8 and found, what="all bad are set aside")
        words = "\n".join(letter["words"] for letter in letters)
        for reason in ("given up after 0.3 s", "RecursionError", "MemoryError", "ended its thread", "not a JSON object",
                       "JSONDecodeError", "bytes: send at most"):  # fmt: skip
            assert reason in words
        assert worker.process.poll() is None
        assert all(report(hasty, name)["waiting"] == 0 for name in (waiting.INTAKE, "lrs"))
        assert len(PARTITIONS) == 8

    def test_a_message_with_one_bad_statement_brings_the_others(
        self, hasty: Settings, start: Start, store: Store
    ) -> None:
        from dramatiq import Message

        from core.queue import broker

        good, large = statement(), statement(result={"response": "x" * 200_000})
        message: Message[None] = Message(
            queue_name="xapi", actor_name="emit_statement", args=([large, good, "none"],), kwargs={}, options={}
        )
        broker.connect(hasty).enqueue(message)
        start("xapi", threads=8)
        until(lambda: store.names() == {good["id"]}, what="the good one is delivered")
        letters = until(lambda: len(found := dead(hasty, waiting.INTAKE)) == 2 and found, what="the others are kept")
        assert letters[0]["statement"]["id"] == large["id"]


def test_a_dead_letter_shows_any_reason(hasty: Settings) -> None:
    with connection.opened(hasty) as client:
        box = waiting.outbox(client, "lrs", hasty)
        box.put("0", ["{}"])
        dead_letters.bury(box, "0", [(box.head("0", 1).entries[0], "half a pair: \ud800")])
        assert dead_letters.read(box)[0]["words"] == "half a pair: \\ud800"
