"""Statements from a portal to Ralph's record store, through a real Redis and a real worker, and what goes wrong."""

from __future__ import annotations

import json
import os
import random
import signal
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from core import submit_statements
from core.errors import OutOfReach
from core.plugin_host.manager import Manager
from core.redis import connection
from core.settings import Settings
from core.statements import dead_letters
from core.statements import submit as waiting
from core.statements.outbox import PARTITIONS
from core.statements.relay import Flusher

from ..conftest import InstallPlugin
from ..lrs import LOGIN, PASSWORD, CuttingProxy, RecordStoreServer
from .conftest import RedisServer, Start, Worker, until

HASTY = {"XAPI_BATCH_SECONDS": "0.5", "XAPI_LONGEST_DELAY": "1", "XAPI_TIME_LIMIT": "2"}

Configure = Callable[..., Settings]


@pytest.fixture(scope="module")
def prepared_lrs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordStoreServer]:
    server = RecordStoreServer(tmp_path_factory.mktemp("lrs"))
    server.prepare()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def lrs(prepared_lrs: RecordStoreServer) -> RecordStoreServer:
    """A store that holds nothing yet."""
    prepared_lrs.empty()
    return prepared_lrs


@pytest.fixture
def configure(service: Settings, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Set the store that workers deliver to, and any other setting."""

    def change(url: str, password: str = PASSWORD, **settings: str) -> Settings:
        monkeypatch.setenv("XAPI_LRS_URL", url)
        monkeypatch.setenv("XAPI_LRS_LOGIN", LOGIN)
        monkeypatch.setenv("XAPI_LRS_PWD", password)
        for name, value in {**HASTY, **{name.upper(): value for name, value in settings.items()}}.items():
            monkeypatch.setenv(f"AMPHIPOD_{name}", value)
        from core import settings as module

        return module.load()

    return change


def statement(actor: int = 0, number: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "actor": {"mbox": f"mailto:student{actor}@univ-demo.fr", "name": f"Student Number{actor}"},
        "verb": {"id": "https://w3id.org/xapi/video/verbs/played", "display": {"en-US": "played"}},
        "object": {
            "id": "http://pod.univ-demo.fr/video/0001/",
            "definition": {"type": "https://w3id.org/xapi/video/activity-type/video", "name": {"en": "Algebra"}},
        },
        "context": {
            "contextActivities": {"category": [{"id": "https://w3id.org/xapi/video"}]},
            "extensions": {"https://w3id.org/xapi/video/extensions/session-id": str(uuid.uuid4())},
        },
        "result": {"extensions": {"https://w3id.org/xapi/video/extensions/time": number}},
        "timestamp": "2026-11-24T10:23:52.527Z",
        **fields,
    }


def time_of(stored: dict[str, Any]) -> int:
    return int(stored["result"]["extensions"]["https://w3id.org/xapi/video/extensions/time"])


def report(settings: Settings, name: str = "lrs") -> dict[str, Any]:
    with connection.opened(settings) as client:
        return waiting.outbox(client, name, settings).report()


def dead(settings: Settings, name: str = "lrs") -> list[dict[str, Any]]:
    with connection.opened(settings) as client:
        return dead_letters.read(waiting.outbox(client, name, settings))


def amphipod(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "core.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options)


class TestOnce:
    """Whatever breaks, each statement is stored, none twice, in the order of each actor."""

    @pytest.mark.parametrize("number", [200, pytest.param(10_000, marks=pytest.mark.long)])
    def test_through_every_fault_at_once(
        self, number: int, configure: Configure, start: Start, lrs: RecordStoreServer, redis_server: RedisServer
    ) -> None:
        proxy = CuttingProxy(lrs.port)
        settings = configure(proxy.url, heartbeat_seconds="2", lease_seconds="2")
        workers = [start("xapi", threads=8)]
        sent = [statement(actor, count) for count in range(number // 50) for actor in range(50)]
        faults: list[Callable[[], object]] = [
            lrs.stop,
            lrs.start,
            lambda: proxy.cut_answers(1),
            lambda: _kill(workers, start),
            redis_server.kill,
            redis_server.start,
            lambda: proxy.cut_answers(1),
            lrs.stop,
            lrs.start,
            lambda: _kill(workers, start),
        ]

        # Faults are spread over the run: each comes when one share more has arrived, or when nothing moves any more,
        # and never is more fed than the share after it, so that each has something to spoil.
        shares = len(faults) + 1
        fed = threading.Semaphore(1)

        def feed() -> None:
            for begin in range(0, number, 10):
                if begin * shares // number != (begin - 10) * shares // number:
                    fed.acquire()
                _insist(sent[begin : begin + 10], settings)

        feeder = threading.Thread(target=feed)
        feeder.start()
        for part, fault in enumerate(faults, 1):
            fed.release()
            end = time.monotonic() + 3
            while lrs.count() < number * part // shares and time.monotonic() < end:
                time.sleep(0.02)
            fault()
        fed.release()
        feeder.join()
        until(lambda: lrs.count() >= number, 60 + number / 100, "all are stored")
        until(lambda: report(settings)["waiting"] == 0, 20, "nothing waits")

        stored = lrs.stored()
        assert sorted(one["id"] for one in stored) == sorted(one["id"] for one in sent), "each once"
        for actor in {one["actor"]["mbox"] for one in stored}:
            times = [time_of(one) for one in stored if one["actor"]["mbox"] == actor]
            assert times == sorted(times), f"the order of {actor}"
        assert proxy.cut == 2
        assert dead(settings) == []
        proxy.close()


def _kill(workers: list[Worker], start: Start) -> None:
    """End a worker with -9 and start another."""
    workers[-1].signal(signal.SIGKILL)
    workers[-1].process.wait()
    workers.append(start("xapi", threads=8))


def _insist(some: list[dict[str, Any]], settings: Settings) -> None:
    """Submit again while Redis is away, as a portal would; the ids make it harmless."""
    while True:
        try:
            submit_statements(some, settings=settings)
        except OutOfReach:
            time.sleep(0.2)
        else:
            return


class TestDelivery:
    def test_what_a_running_pod_sent_arrives_as_it_was(
        self, configure: Configure, start: Start, lrs: RecordStoreServer
    ) -> None:
        captured = [
            json.loads(line) for line in Path(__file__).with_name("pod_statements.jsonl").read_text().splitlines()
        ]
        settings = configure(lrs.url)
        start("xapi", threads=8)

        submit_statements(captured, settings=settings)

        until(lambda: lrs.count() == len(captured), what="all are stored")
        own = ("stored", "authority", "version")  # the store's own words
        stored = {one["id"]: {name: value for name, value in one.items() if name not in own} for one in lrs.stored()}
        assert stored == {one["id"]: one for one in captured}
        verbs = {one["verb"]["id"].rpartition("/")[2] for one in captured}
        assert verbs == {"initialized", "played", "paused", "seeked", "interacted", "completed", "terminated"}

    def test_one_bad_statement_costs_no_other(self, configure: Configure, start: Start, lrs: RecordStoreServer) -> None:
        settings = configure(lrs.url)
        batch = [statement(number=number) for number in range(100)]
        del batch[50]["verb"]

        submit_statements(batch, settings=settings)
        start("xapi", threads=8)

        until(lambda: lrs.count() == 99, what="99 are stored")
        (letter,) = until(lambda: dead(settings), what="one is dead")
        assert letter["statement"] == batch[50]
        assert "422" in letter["words"]
        assert "verb: Field required" in letter["words"], "the store's own words"
        assert [time_of(one) for one in lrs.stored()] == [number for number in range(100) if number != 50]

    def test_dead_statements_are_shown_and_sent_again(
        self, configure: Configure, start: Start, lrs: RecordStoreServer
    ) -> None:
        settings = configure(lrs.url)
        bad = statement()
        del bad["verb"]
        submit_statements([bad, statement()], settings=settings)
        start("xapi", threads=8)
        until(lambda: dead(settings), what="it is dead")

        shown = amphipod("statements", "dead", "--show")
        again = amphipod("statements", "dead", "--retry", "--json")

        assert bad["id"] in shown.stdout
        assert "Student Number0" in shown.stdout
        assert json.loads(again.stdout) == {"retried": 1}
        assert not dead(settings)
        submit_statements([statement()], settings=settings)
        until(lambda: dead(settings), what="it is dead again")

    def test_a_message_of_dramatiq_is_taken_once_however_often_it_comes(
        self, configure: Configure, start: Start, lrs: RecordStoreServer
    ) -> None:
        from dramatiq import Message

        from core.queue import broker

        settings = configure(lrs.url)
        anonymous = statement()
        del anonymous["id"], anonymous["timestamp"]
        message: Message[None] = Message(
            queue_name="xapi", actor_name="emit_statement", args=(anonymous,), kwargs={}, options={}
        )
        for _ in range(2):
            broker.connect(settings).enqueue(message.copy(options={"redis_message_id": str(uuid.uuid4())}))
        worker = start("xapi", threads=8)

        until(lambda: report(settings)["sent"] == 2, what="both were sent")
        (stored,) = lrs.stored()
        assert stored["timestamp"]
        assert "student0" not in worker.log.read_text()

    def test_a_file_is_sent_and_counted(
        self, configure: Configure, start: Start, lrs: RecordStoreServer, tmp_path: Path
    ) -> None:
        configure(lrs.url)
        file = tmp_path / "statements.jsonl"
        file.write_text("".join(json.dumps(statement(number)) + "\n" for number in range(3)))
        start("xapi", threads=8)

        done = amphipod("emit", str(file))

        assert (done.returncode, done.stdout) == (0, "3 statements wait for delivery\n")
        until(lambda: lrs.count() == 3, what="they are stored")
        seen = until(lambda: (one := json.loads(amphipod("statements", "--json").stdout))["lrs"]["sent"] and one)
        assert (seen["lrs"]["sent"], seen["lrs"]["waiting"], seen["lrs"]["dead"]) == (3, 0, 0)
        assert amphipod("statements").stdout.splitlines()[0].split()[:3] == ["store", "sent", "waiting"]

    def test_a_file_with_a_wrong_line_is_refused_by_its_number(self, configure: Configure, tmp_path: Path) -> None:
        configure("http://127.0.0.1:9/xAPI/statements")
        (tmp_path / "statements.jsonl").write_text('{"id": "1"}\n{"id": ')
        done = amphipod("emit", str(tmp_path / "statements.jsonl"))
        assert done.returncode == 2
        assert "statements.jsonl, line 2: not JSON" in done.stderr

    def test_strict_validation_keeps_what_does_not_fit_and_says_which_field(
        self, configure: Configure, start: Start, lrs: RecordStoreServer
    ) -> None:
        settings = configure(lrs.url, xapi_validation="strict")
        good, bad = (
            statement(),
            statement(result={"extensions": {"https://w3id.org/xapi/video/extensions/progress": 1}}),
        )

        submit_statements([bad, good], settings=settings)
        start("xapi", threads=8)

        until(lambda: lrs.count() == 1, what="the good one is stored")
        (letter,) = dead(settings, waiting.INTAKE)
        assert letter["words"] == "result.extensions.https://w3id.org/xapi/video/extensions/time: is missing"

    def test_people_are_renamed_before_their_statements_wait(
        self, configure: Configure, start: Start, lrs: RecordStoreServer, redis_server: RedisServer
    ) -> None:
        settings = configure("http://127.0.0.1:9/xAPI/statements", xapi_anonymize_actor="true", xapi_anonymize_key="k")
        submit_statements([statement(7)], settings=settings)
        start("xapi", threads=8)
        until(lambda: report(settings)["waiting"] == 1, what="it waits for the store")
        found = "".join(
            str(redis_server.client.xrange(f"amphipod:statements:lrs:{partition}")) for partition in PARTITIONS
        )
        assert "played" in found
        assert "student7" not in found.lower()
        assert "Number7" not in found

    def test_the_service_is_small(self, configure: Configure, start: Start, lrs: RecordStoreServer) -> None:
        settings = configure(lrs.url)
        worker = start("xapi", threads=8)
        submit_statements([statement(actor, 1) for actor in range(500)], settings=settings)
        until(lambda: lrs.count() == 500, what="all are stored")

        resident = {pid: _resident(pid) for pid in [worker.process.pid, *worker.pids]}
        assert sum(resident.values()) < 120e6, resident


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class TestSeveralStores:
    def test_one_that_is_down_does_not_delay_the_other_and_each_gets_its_own(
        self, configure: Configure, start: Start, lrs: RecordStoreServer
    ) -> None:
        local = {"name": "local", "url": lrs.url, "login": LOGIN, "password": PASSWORD, "verbs": ["played"]}
        settings = configure("http://127.0.0.1:9/xAPI/statements", xapi_stores=json.dumps([local]))
        paused = statement(verb={"id": "https://w3id.org/xapi/video/verbs/paused"})
        start("xapi", threads=8)

        submit_statements([statement(), paused, statement()], settings=settings)

        until(lambda: lrs.count() == 2, 10, "the local store has what it wants")
        assert report(settings)["waiting"] == 3
        assert report(settings, "local")["dropped"] == 1
        assert "can't be reached" in report(settings)["alarm"]

    def test_the_example_adds_a_course_and_routes_by_it(
        self,
        configure: Configure,
        start: Start,
        lrs: RecordStoreServer,
        install_plugin: InstallPlugin,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        example = Path(__file__).parents[2] / "examples/xapi_context/amphipod_courses.py"
        install_plugin("amphipod_courses", example.read_text(encoding="utf-8"))
        (tmp_path / "courses.json").write_text('{"http://pod.univ-demo.fr/video/0001": "https://univ-demo.fr/MAT101"}')
        monkeypatch.setenv("AMPHIPOD_COURSES_FILE", str(tmp_path / "courses.json"))
        national = {"name": "national", "url": "http://127.0.0.1:9/xAPI/statements"}
        settings = configure(lrs.url, xapi_stores=json.dumps([national]))
        elsewhere = statement(1, object={"id": "http://pod.univ-demo.fr/video/0002/"})
        start("xapi", threads=8)

        submit_statements([statement(0), elsewhere], settings=settings)

        until(lambda: lrs.count() == 2, what="the first store has both")
        contexts = {one["object"]["id"][-5:-1]: one["context"] for one in lrs.stored()}
        assert contexts["0001"]["platform"] == "Our University"
        assert contexts["0001"]["contextActivities"]["grouping"] == [{"id": "https://univ-demo.fr/MAT101"}]
        assert "platform" not in contexts["0002"]
        national_report = report(settings, "national")
        assert (national_report["waiting"], national_report["dropped"]) == (1, 1)


class TestOverflow:
    def test_what_redis_has_no_room_for_waits_on_disk_and_arrives_in_order(
        self, configure: Configure, start: Start, lrs: RecordStoreServer, tmp_path: Path
    ) -> None:
        settings = configure(lrs.url, xapi_waiting_limit="800")
        lrs.stop()
        start("xapi", threads=8)
        sent = [statement(0, number) for number in range(1000)]
        for begin in range(0, 1000, 50):
            submit_statements(sent[begin : begin + 50], settings=settings)
        until(lambda: report(settings)["waiting"] == 1000, what="all wait")
        overview = report(settings)
        assert overview["on_disk"] >= 800
        assert list((tmp_path / "root" / "statements" / "lrs").rglob("*.jsonl"))

        lrs.start()

        until(lambda: lrs.count() == 1000, 40, "all are stored")
        assert [time_of(one) for one in lrs.stored()] == list(range(1000))
        until(lambda: report(settings)["on_disk"] == 0, what="nothing is left on disk")
        assert not list((tmp_path / "root" / "statements").rglob("*.jsonl"))


class _Odd(BaseHTTPRequestHandler):
    """A server that is no record store."""

    protocol_version = "HTTP/1.1"
    delay = 0.0
    status = 200

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.delay)
        body = b"<html>Sign in</html>"
        self.send_response(self.status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(BrokenPipeError):  # whoever asked has given up
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def odd() -> Iterator[Callable[..., str]]:
    """Start a server that answers oddly, and return its URL."""
    servers = []

    def begin(*, tls: tuple[Path, Path] | None = None, **traits: Any) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Odd", (_Odd,), traits))
        server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}/xAPI/statements"

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate that nobody vouches for."""
    paths = (tmp_path / "cert.pem", tmp_path / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*command, "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    return paths


class TestFaultsOfTheStore:
    """Each is one clear line, and nothing is lost."""

    def said(self, configure: Configure, start: Start, url: str, **settings: str) -> str:
        """Send statements to a faulty store for a while, and return the one line that the log has about it."""
        loaded = configure(url, **settings)
        submit_statements([statement(actor) for actor in range(20)], settings=loaded)
        worker = start("xapi", threads=8, log_format="json")
        alarm = until(lambda: report(loaded)["alarm"], what="it is noticed")
        time.sleep(1.5)
        lines = [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{")]
        said = [line["reason"] for line in lines if line["event"] == "statements wait"]
        assert said == [alarm]
        assert report(loaded)["waiting"] == 20
        assert PASSWORD not in worker.log.read_text()
        return str(alarm)

    def test_a_wrong_password(self, configure: Configure, start: Start, lrs: RecordStoreServer) -> None:
        # Ralph takes its time over each wrong one, and eight partitions ask.
        said = self.said(configure, start, lrs.url, password="wrong-s3cret", xapi_time_limit="20")
        assert said == f"{lrs.url} refuses our login (401): check login and password of store lrs"

    def test_a_wrong_address(self, configure: Configure, start: Start, lrs: RecordStoreServer) -> None:
        said = self.said(configure, start, lrs.url.replace("statements", "statement"))
        assert said.endswith("answers 404: is it a store's statements resource (.../xAPI/statements)?")

    def test_no_server_there(self, configure: Configure, start: Start) -> None:
        said = self.said(configure, start, "http://127.0.0.1:9/xAPI/statements")
        assert said.endswith("can't be reached (Connection refused), it is tried again")

    def test_a_certificate_that_nobody_knows(
        self, configure: Configure, start: Start, odd: Callable[..., str], certificate: tuple[Path, Path]
    ) -> None:
        said = self.said(configure, start, odd(tls=certificate))
        assert "self-signed certificate" in said
        assert "set `ca_file` of store lrs" in said

    def test_a_store_that_answers_slowly(self, configure: Configure, start: Start, odd: Callable[..., str]) -> None:
        said = self.said(configure, start, odd(delay=3.0), xapi_time_limit="1")
        assert said.endswith("does not answer within 1 s, it is tried again")

    def test_a_page_instead_of_a_store(self, configure: Configure, start: Start, odd: Callable[..., str]) -> None:
        said = self.said(configure, start, odd())
        assert said.endswith("answers text/html, not JSON: is it a store's statements resource?")

    def test_an_overloaded_store(self, configure: Configure, start: Start, odd: Callable[..., str]) -> None:
        assert self.said(configure, start, odd(status=503)).endswith("answers 503, it is tried again")

    @pytest.mark.long
    def test_a_store_that_is_dead_is_not_hammered(
        self, configure: Configure, start: Start, odd: Callable[..., str]
    ) -> None:
        asked: list[float] = []

        def count(handler: _Odd) -> None:
            asked.append(time.monotonic())
            _Odd.do_POST(handler)

        settings = configure(odd(status=500, do_POST=count), xapi_longest_delay="2")
        submit_statements([statement(actor) for actor in range(200)], settings=settings)
        start("xapi", threads=8)
        until(lambda: asked, what="it is asked")
        time.sleep(4)
        assert len(asked) < 8 + 8, "all partitions once, then one question a pause"


def test_a_worker_names_what_keeps_it_from_every_store() -> None:
    """The key and not the address, which is set."""
    own = {"xapi": {"lrs_url": "http://a.example", "anonymize_actor": True}}
    bare = Settings(broker_url="redis://127.0.0.1:9/0")
    settings = bare.model_copy(update={"plugin": own})
    with capture_logs() as logs:
        Flusher(settings, Manager(settings)).start()
        Flusher(bare, Manager(bare)).start()

    keyless, storeless = (line for line in logs if line["event"].startswith("statements wait"))
    assert keyless["log_level"] == "error"
    assert "AMPHIPOD_XAPI_ANONYMIZE_KEY is not set" in keyless["reason"]
    assert "set AMPHIPOD_XAPI_LRS_URL" in storeless["reason"]


class TestPasswords:
    def test_reach_neither_doctor_nor_child_processes(self, configure: Configure) -> None:
        from core.process.spawn import child_environment

        stores = json.dumps([{"name": "two", "url": "http://a.example/x", "login": "me", "password": "0ther-s3cret"}])
        settings = configure("http://127.0.0.1:9/xAPI/statements", xapi_stores=stores)
        told = amphipod("doctor", "--json")
        for secret in (PASSWORD, "0ther-s3cret"):
            assert secret not in told.stdout + told.stderr
            childs = Manager(settings).settings_for_child({"encode"})
            assert secret not in json.dumps(child_environment(childs)) + childs.model_dump_json()

    def test_are_not_repeated_in_a_message_about_a_mistake(self, configure: Configure) -> None:
        settings = configure("http://a.example", xapi_stores='[{"name": "two", "password": "0ther-s3cret"}]')
        xapi = next(info for info in Manager(settings).infos if info.name == "xapi")
        assert xapi.state == "failed"
        assert "AMPHIPOD_XAPI_STORES.0.url is missing" in xapi.reason
        assert "0ther-s3cret" not in xapi.reason


def test_jitter_is_bounded() -> None:
    from core.statements.circuit_breaker import pause

    random.seed(1)
    assert all(0.5 <= pause(1, 300) <= 1 for _ in range(50))
    assert max(pause(40, 300) for _ in range(50)) <= 300
