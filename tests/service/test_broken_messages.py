"""No message is lost with the connection that brought it, and one that nobody can read stops no other."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from dramatiq import Message

from core import jobs
from core.errors import UnknownJob
from core.jobs import Status
from core.queue import monitor
from core.redis import connection
from core.retention import holdings
from core.settings import Settings
from core.storage.job_folder import JobFolder

from .conftest import RedisServer, Start, Submit, until

Ended = Callable[..., Status]


class Cutter:
    """A way to Redis that breaks once, in place of an answer that has certain words in it."""

    def __init__(self, port: int, words: bytes) -> None:
        self._port = port
        self._words = words
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = [self._listener]
        self.port = self._listener.getsockname()[1]
        self.has_cut = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection(("127.0.0.1", self._port))
                self._open += [here, there]
                threading.Thread(target=self._pump, args=(here, there, False), daemon=True).start()
                threading.Thread(target=self._pump, args=(there, here, True), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if answers and self._words in data and not self.has_cut.is_set():
                    self.has_cut.set()
                    break
                target.sendall(data)
        self._shut(source, target)

    @staticmethod
    def _shut(*sides: socket.socket) -> None:
        for side in sides:
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._shut(*self._open)
        for one in self._open:
            one.close()


@pytest.fixture
def cutter(redis_server: RedisServer) -> Iterator[Callable[[bytes], Cutter]]:
    made: list[Cutter] = []

    def make(words: bytes) -> Cutter:
        made.append(Cutter(redis_server.port, words))
        return made[-1]

    yield make
    for one in made:
        one.close()


def put(server: RedisServer, queue: str, name: str, body: bytes) -> None:
    """Put a message of whatever kind on a queue."""
    server.client.hset(f"amphipod:{queue}.msgs", name, body)
    server.client.rpush(f"amphipod:{queue}", name)


def test_a_message_whose_answer_is_lost_is_done_all_the_same(
    start: Start, submit: Submit, ended: Ended, redis_server: RedisServer, cutter: Callable[[bytes], Cutter]
) -> None:
    way = cutter(b'"actor_name":"finish"')
    start("callbacks", threads=2, broker_url=f"redis://127.0.0.1:{way.port}/0")
    start("encoding")
    job = submit(write="x")

    assert ended(job).state == "succeeded"
    assert way.has_cut.is_set()
    until(lambda: not redis_server.client.exists("amphipod:callbacks.msgs"), what="no message is left")


@pytest.mark.parametrize("queue", ["encoding", "callbacks"])
def test_what_is_no_message_is_set_aside_and_the_others_are_done(
    start: Start, submit: Submit, ended: Ended, redis_server: RedisServer, queue: str
) -> None:
    put(redis_server, queue, "bytes", b"\xff\x00")
    put(redis_server, queue, "empty", b"{}")
    put(redis_server, queue, "strange", Message(queue, "finish", (), {}, {}).encode())
    redis_server.client.rpush(f"amphipod:{queue}", "of which nothing is left")
    job = submit(write="x")
    worker = start("encoding", "callbacks", threads=2)

    assert ended(job).state == "succeeded"
    assert monitor.overview(redis_server.client)["queues"][queue]["dead"] == 3
    assert "can't be read" in worker.log.read_text()
    assert "Traceback" not in worker.log.read_text()


def test_a_message_about_no_job_keeps_no_slot(
    start: Start, submit: Submit, ended: Ended, redis_server: RedisServer
) -> None:
    message: Message[None] = Message("encoding", "encode", (), {}, {"redis_message_id": "none"})
    put(redis_server, "encoding", "none", message.encode())
    job = submit(write="x")
    start("encoding", "callbacks", threads=2)

    assert ended(job).state == "succeeded"


def test_a_slot_is_taken_though_nothing_can_be_written_in_it(
    start: Start, submit: Submit, ended: Ended, toy_service: Settings
) -> None:
    toy_service.run_dir.mkdir(exist_ok=True)
    (toy_service.run_dir / "encoding.0.slot").symlink_to("/dev/full")
    job = submit(write="x")
    start("encoding", "callbacks", threads=2)

    assert ended(job).state == "succeeded"


def test_what_is_no_message_keeps_no_lost_job_from_coming_back(
    submit: Submit, redis_server: RedisServer, toy_service: Settings
) -> None:
    job = submit(write="x")
    redis_server.client.flushall()
    for number, body in enumerate((b"\xff\x00", b"[]", b"{}", json.dumps({"args": 5}).encode())):
        put(redis_server, "xapi", str(number), body)
        put(redis_server, "encoding.DQ", str(number), body)

    assert jobs.resume(settings=toy_service) == [job]
    found = monitor.overview(connection.client(toy_service))
    assert found["queues"]["encoding"] == {"waiting": 1, "delayed": 4, "dead": 0}


def test_a_message_that_its_actor_stumbles_over_says_why_it_is_delayed(
    start: Start, submit: Submit, redis_server: RedisServer
) -> None:
    submit(write="x")
    message: Message[None] = Message("callbacks", "finish", ("job",), {"oops": 1}, {"redis_message_id": "odd"})
    put(redis_server, "callbacks", "odd", message.encode())
    start("callbacks")

    (delayed,) = until(lambda: monitor.overview(redis_server.client)["delayed"], what="the message is put back")
    assert "unexpected keyword argument 'oops'" in delayed["reason"]


def test_a_damaged_request_is_told_in_a_line_and_its_job_not_swept(submit: Submit, toy_service: Settings) -> None:
    job = submit(write="x")
    folder = JobFolder(toy_service.jobs_root, job)
    folder.request.write_bytes(b"")

    with pytest.raises(UnknownJob, match=r"request\.json is damaged"):
        folder.job()
    assert holdings.look(toy_service.model_copy(update={"retain_scratch_hours": 0.0}), folder) is None
