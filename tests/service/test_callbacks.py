"""A portal is told of a job's end: signed, once if it answers, for as long as it takes, and over every crash."""

from __future__ import annotations

import hmac
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from core import jobs
from core import settings as settings_module
from core.callbacks import delivery
from core.callbacks.webhook import signature
from core.jobs import Status
from core.model import Callback, Job
from core.pipeline import in_process, lifecycle
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.pod.callback_kinds import BUILT_IN as CONTRACTS
from core.settings import Settings
from core.storage import deliveries
from core.storage.deliveries import Delivery

from .conftest import RedisServer, Start, free_port, until

SECRET = "between us"

#: Kills its process once: when something is touched whose name holds the file's words.
SABOTEUR = """
    import os, pathlib, signal, sys

    armed = pathlib.Path(os.environ["ARMED"])

    def hook(event, arguments):
        if event in ("os.link", "os.mkdir", "os.rename") and armed.exists():
            wanted_event, wanted = armed.read_text().split()
            if event == wanted_event and any(wanted in str(one) for one in arguments[:2]):
                armed.unlink()
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
"""


@dataclass
class Receiver:
    """Somebody's portal; answers what it is told to, 200 otherwise."""

    port: int = field(default_factory=free_port)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: deque[int] = field(default_factory=deque)
    pause: float = 0
    #: Seconds for which an answer's body goes on, a byte at a time.
    drips: float = 0
    certificate: Path | None = None
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http{'s' if self.certificate else ''}://127.0.0.1:{self.port}/hook"

    @property
    def news(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                time.sleep(receiver.pause)
                status = receiver.answers.popleft() if receiver.answers else 200
                self.send_response(status)
                self.send_header("Location", receiver.url.replace("/hook", "/elsewhere"))
                self.end_headers()
                end = time.monotonic() + receiver.drips
                with suppress(OSError):
                    while time.monotonic() < end:
                        self.wfile.write(b".")
                        time.sleep(0.05)

            def log_message(self, *_args: Any) -> None:
                """Keep quiet."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that went away is no news."""

        self.server = Server(("127.0.0.1", self.port), Handler)
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    one.start()
    yield one
    one.stop()


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPHIPOD_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("AMPHIPOD_CALLBACK_RETRY_SECONDS", "0.2")
    monkeypatch.setenv("AMPHIPOD_CALLBACK_LONGEST_DELAY", "0.5")


@pytest.fixture
def hasty(toy_service: Settings) -> Settings:
    """The settings of the environment, as a worker has them."""
    return settings_module.load()


Told = Callable[..., str]


@pytest.fixture
def told(toy_service: Settings, receiver: Receiver) -> Told:
    """Submit a job whose end is told to the receiver."""

    def send(url: str = "", **do: Any) -> str:
        callback = Callback(kind="webhook", url=url or receiver.url, body={"course": "MATH101"})
        return jobs.submit(
            "a.mp4", options={"do": do}, callbacks=[callback], settings=toy_service, attributes={"video": 7}
        )

    return send


def record(settings: Settings, job: str, name: str = "1.1") -> Delivery | None:
    path = settings.jobs_root / "jobs" / job / "callbacks" / f"{name}.json"
    return Delivery.model_validate_json(path.read_bytes()) if path.exists() else None


def told_here(settings: Settings, url: str, within: float = 20.0, *, guarded: bool = False, **changes: Any) -> Delivery:
    """Do a job and tell of it without a queue; gives up looking after the first try past `within` seconds."""
    loaded = settings.model_copy(update=changes)
    callback = Callback(kind="webhook", url=url, guarded=guarded)
    sources = jobs.sources(loaded, "a.mp4", None)
    folder, _ = lifecycle.submit(
        Job(id="here", sources=sources, steps=("encode",), callbacks=(callback,)), loaded.jobs_root
    )
    in_process.run_embedded(Host(loaded, Manager(loaded)), folder)
    end = time.monotonic() + within
    while True:
        found, wait = delivery.attempt(loaded, folder, "1.1" if deliveries.due(folder) else "", CONTRACTS)
        if wait is None or time.monotonic() > end:
            return found
        time.sleep(wait)


def settled(settings: Settings, job: str, name: str = "1.1", within: float = 20.0) -> Delivery:
    def look() -> Delivery | None:
        found = record(settings, job, name)
        return found if found and found.state != "due" else None

    found: Delivery = until(look, within, f"delivery {name} of {job} is settled")
    return found


class TestWhoMayBeTold:
    def test_a_private_address_that_somebody_named_by_http_gets_nothing(
        self, hasty: Settings, receiver: Receiver
    ) -> None:
        found = told_here(hasty, receiver.url, within=0, guarded=True)

        assert "is at a private address: name the host in AMPHIPOD_NOTIFY_HOSTS" in found.answer
        assert (found.state, receiver.news) == ("due", [])

    def test_a_host_of_the_settings_is_told_wherever_it_is(self, hasty: Settings, receiver: Receiver) -> None:
        found = told_here(hasty, receiver.url, guarded=True, notify_hosts=("127.0.0.1",))

        assert (found.state, len(receiver.news)) == ("delivered", 1)


class TestWhatIsSaid:
    def test_a_success_with_what_was_made(
        self, start: Start, told: Told, toy_service: Settings, receiver: Receiver
    ) -> None:
        start("encoding", "callbacks", threads=2)
        job = told(write="hello")

        assert settled(toy_service, job).state == "delivered"
        (news,) = receiver.news
        assert (news["job"], news["state"], news["reason"]) == (job, "succeeded", None)
        assert (news["attributes"], news["body"]) == ({"video": 7}, {"course": "MATH101"})
        assert [artifact["path"] for artifact in news["artifacts"]] == ["360p.mp4"]

    def test_a_failure_with_its_reason_and_a_cancel(
        self, start: Start, told: Told, toy_service: Settings, receiver: Receiver, ended: Callable[..., Status]
    ) -> None:
        start("encoding", "callbacks", threads=2)
        failed = told(refuse="no picture in it")
        settled(toy_service, failed)
        cancelled = told(sleep=20)
        until(lambda: jobs.status(cancelled, settings=toy_service).state == "running")
        jobs.cancel(cancelled, settings=toy_service)
        settled(toy_service, cancelled)

        assert [(news["job"], news["state"]) for news in receiver.news] == [
            (failed, "failed"),
            (cancelled, "cancelled"),
        ]
        assert receiver.news[0]["reason"] == "encode: a.mp4: no picture in it"

    def test_the_signature_covers_time_and_body(
        self, start: Start, told: Told, toy_service: Settings, receiver: Receiver
    ) -> None:
        start("encoding", "callbacks", threads=2)
        job = told()
        settled(toy_service, job)

        headers, body = receiver.got[0]
        expected = signature(SECRET, headers["Amphipod-Timestamp"], body)
        assert hmac.compare_digest(headers["Amphipod-Signature"], expected)
        assert headers["Amphipod-Signature"] != signature(SECRET, "0", body)
        assert abs(time.time() - int(headers["Amphipod-Timestamp"])) < 60
        assert headers["Amphipod-Delivery"] == f"{job}.1.1"
        assert headers["X-Correlation-ID"] == job
        assert SECRET.encode() not in body

    @pytest.mark.long
    def test_a_retried_job_is_told_of_again(
        self, start: Start, told: Told, toy_service: Settings, receiver: Receiver, tmp_path: Path
    ) -> None:
        start("encoding", "callbacks", threads=2)
        job = told(refuse="not now")
        settled(toy_service, job)
        jobs.retry(job, settings=toy_service)
        settled(toy_service, job, "2.1")

        assert [(news["run"], news["state"]) for news in receiver.news] == [(1, "failed"), (2, "failed")]


class TestWhoDoesNotTakeIt:
    def test_a_receiver_that_is_down_is_told_when_it_is_back(
        self, start: Start, told: Told, toy_service: Settings, receiver: Receiver, redis_server: RedisServer
    ) -> None:
        receiver.stop()
        start("encoding", "callbacks", threads=2)
        job = told()
        until(lambda: (found := record(toy_service, job)) and found.tries >= 3, what="three tries")
        shown = until(lambda: redis_server.client.hgetall("amphipod:untold"), what="it is listed")
        receiver.start()

        assert settled(toy_service, job).state == "delivered"
        assert "refused" in json.loads(shown[f"{job} 1.1"])["answer"]
        assert len(receiver.got) == 1
        until(lambda: not redis_server.client.hgetall("amphipod:untold"), what="it is listed no more")

    @pytest.mark.parametrize(("answers", "tries"), [([500, 503], 3), ([429], 2), ([302], 2), ([404], 2)])
    def test_an_answer_that_is_no_success_is_asked_again(
        self, answers: list[int], tries: int, hasty: Settings, receiver: Receiver
    ) -> None:
        receiver.answers.extend(answers)

        found = told_here(hasty, receiver.url)
        assert (found.state, found.tries, found.answer) == ("delivered", tries, "200")

    def test_nobody_there_any_more(self, hasty: Settings, receiver: Receiver) -> None:
        receiver.answers.append(410)

        assert told_here(hasty, receiver.url).state == "given_up"

    @pytest.mark.long
    def test_given_up_after_its_time_and_told_again_by_hand(
        self, start: Start, told: Told, toy_service: Settings, receiver: Receiver, redis_server: RedisServer
    ) -> None:
        receiver.stop()
        worker = start("encoding", "callbacks", threads=2, callback_patience="1")
        job = told()

        assert settled(toy_service, job).state == "given_up"
        assert "given up" in worker.log.read_text()
        seen = subprocess.run([sys.executable, "-m", "core.cli", "jobs"], capture_output=True, text=True, check=True)
        assert f"given up {job} (webhook)" in seen.stdout
        receiver.start()
        subprocess.run([sys.executable, "-m", "core.cli", "tell", job], check=True)
        until(lambda: receiver.got, what="the portal is told")
        assert settled(toy_service, job).state == "delivered"

    def test_a_slow_receiver_is_not_waited_for(self, hasty: Settings, receiver: Receiver) -> None:
        receiver.pause = 1

        found = told_here(hasty, receiver.url, within=0, callback_time_limit=0.3)
        assert (found.state, found.uncertain) == ("due", True)
        assert "no answer within" in found.answer

    def test_an_answer_that_does_not_end_is_not_waited_for(self, hasty: Settings, receiver: Receiver) -> None:
        receiver.drips = 10
        began = time.monotonic()

        assert told_here(hasty, receiver.url, callback_time_limit=0.3).state == "delivered"
        assert time.monotonic() - began < 8

    def test_a_certificate_that_nobody_signed_is_refused(self, hasty: Settings, tmp_path: Path) -> None:
        if not shutil.which("openssl"):
            pytest.skip("making a certificate takes openssl")
        pem = tmp_path / "cert.pem"
        options = [
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=127.0.0.1",
            "-keyout",
            str(pem),
            "-out",
            str(tmp_path / "c"),
        ]
        subprocess.run(["openssl", "req", "-x509", *options], check=True, capture_output=True)
        pem.write_bytes(pem.read_bytes() + (tmp_path / "c").read_bytes())
        receiver = Receiver(certificate=pem)
        receiver.start()
        found = told_here(hasty, receiver.url, within=0)
        receiver.stop()

        assert "CERTIFICATE_VERIFY_FAILED" in found.answer
        assert not receiver.got

    def test_without_a_secret_nothing_is_sent(self, hasty: Settings, receiver: Receiver) -> None:
        found = told_here(hasty, receiver.url, within=0, webhook_secret=None)

        assert "set AMPHIPOD_WEBHOOK_SECRET" in found.answer
        assert not receiver.got


class TestCrashes:
    @pytest.fixture
    def saboteur(self, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        """Arm a plugin that kills its worker at a system call."""
        armed = tmp_path / "armed"
        monkeypatch.setenv("ARMED", str(armed))
        install_saboteur(tmp_path / "site")
        monkeypatch.setenv("AMPHIPOD_PLUGINS_ONLY", "toy,saboteur")
        return lambda words: (armed.write_text(words), None)[1]

    @pytest.mark.parametrize(
        ("point", "times"),
        [
            pytest.param("os.link /steps/finish.1.json", 1, marks=pytest.mark.long),  # before the job is closed
            pytest.param(
                "os.mkdir /callbacks", 1, marks=pytest.mark.long
            ),  # closed, and its deliveries not yet written down
            ("os.rename /callbacks/", 1),  # before the word that it is being told
        ],
    )
    def test_a_worker_killed_on_its_way_tells_once(
        self,
        point: str,
        times: int,
        saboteur: Callable[[str], None],
        start: Start,
        told: Told,
        toy_service: Settings,
        receiver: Receiver,
        tmp_path: Path,
    ) -> None:
        saboteur(point)
        start("callbacks")
        start("encoding")
        job = told()
        until(lambda: not (tmp_path / "armed").exists(), what="the worker is killed")
        start("callbacks")

        assert settled(toy_service, job).state == "delivered"
        assert len(receiver.got) == times

    def test_killed_before_the_answer_was_kept_tells_again_with_the_same_id(
        self, start: Start, told: Told, toy_service: Settings, receiver: Receiver
    ) -> None:
        receiver.pause = 5
        worker = start("encoding", "callbacks", threads=2)
        job = told()
        until(lambda: receiver.got, what="the portal hears it")
        worker.process.kill()
        for pid in worker.pids:
            os.kill(pid, 9)
        receiver.pause = 0
        start("callbacks")

        assert settled(toy_service, job).state == "delivered"
        assert {headers["Amphipod-Delivery"] for headers, _ in receiver.got} == {f"{job}.1.1"}

    @pytest.mark.long
    def test_redis_emptied_and_resumed(
        self, start: Start, told: Told, toy_service: Settings, receiver: Receiver, redis_server: RedisServer
    ) -> None:
        receiver.stop()
        worker = start("encoding", "callbacks", threads=2)
        job = told()
        until(lambda: record(toy_service, job), what="the job is over")
        done = told("http://127.0.0.1:9/nobody")
        until(lambda: record(toy_service, done), what="the other is over")
        worker.stop()
        redis_server.kill(data=False)
        redis_server.start()
        receiver.start()
        resumed = jobs.resume(settings=toy_service)
        start("callbacks")

        assert settled(toy_service, job).state == "delivered"
        assert sorted(resumed) == sorted([job, done])
        assert len(receiver.got) == 1
        assert jobs.resume(settings=toy_service) == []


def install_saboteur(site: Path) -> None:
    from textwrap import dedent

    metadata = site / "amphipod_saboteur-1.0.dist-info"
    metadata.mkdir()
    (site / "saboteur.py").write_text(dedent(SABOTEUR))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: amphipod-saboteur\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[amphipod]\nsaboteur = saboteur\n")


def test_without_a_queue_the_command_itself_tells(
    toy_service: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AMPHIPOD_BROKER_URL")
    command = [sys.executable, "-m", "core.cli", "run", "a.mp4", "--steps", "encode", "--notify", receiver.url]
    subprocess.run(command, check=True, cwd=toy_service.media_roots[0])

    assert [news["state"] for news in receiver.news] == ["succeeded"]


class TestSuperseded:
    def test_a_portal_is_told_that_a_newer_job_was_faster(self, hasty: Settings, receiver: Receiver) -> None:
        output = hasty.media_roots[0] / "0042"
        callback = Callback(kind="webhook", url=receiver.url)
        fields: dict[str, Any] = {"sources": jobs.sources(hasty, "a.mp4", None), "steps": ("encode",)}
        older, newer = (
            lifecycle.submit(Job(id=name, output=output, callbacks=(callback,), **fields), hasty.jobs_root)[0]
            for name in ("older", "newer")
        )
        host = Host(hasty, Manager(hasty))

        states = [in_process.run_embedded(host, folder).state for folder in (newer, older)]

        assert states == ["succeeded", "superseded"]
        assert deliveries.due(older) == ["1.1"]
        assert delivery.attempt(hasty, older, "1.1", CONTRACTS)[0].state == "delivered"
        assert receiver.news[0]["state"] == "superseded"
        assert receiver.news[0]["reason"] == f"a newer job has published into {output}"


class TestHangingPortal:
    def test_forty_deliveries_that_hang_keep_nobody_from_publishing_or_being_told(
        self, start: Start, told: Told, toy_service: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hanging, healthy = Receiver(pause=60), Receiver()
        hanging.start()
        healthy.start()
        # The queue knows no hosts by port alone: another name for the same machine.
        other = healthy.url.replace("127.0.0.1", "localhost")
        done = lifecycle.submit(
            Job(
                id="done",
                sources=jobs.sources(toy_service, "a.mp4", None),
                steps=("encode",),
                callbacks=tuple(Callback(kind="webhook", url=hanging.url) for _ in range(40)),
            ),
            toy_service.jobs_root,
        )[0]
        in_process.run_embedded(Host(toy_service, Manager(toy_service)), done)
        assert jobs.resume(settings=toy_service) == ["done"]
        start("callbacks", threads=8)
        until(lambda: len(hanging.got) >= 2, what="deliveries hang")
        start("encoding")

        job = told(other, write="x")

        assert settled(toy_service, job).state == "delivered"
        assert len(hanging.got) == 2
        hanging.stop()
        healthy.stop()
