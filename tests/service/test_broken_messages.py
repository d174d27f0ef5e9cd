"""No message is lost with the connection that brought it, and one that nobody can read stops no other."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from dramatiq import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from core import jobs
from core.errors import UnknownJob
from core.jobs import Status
from core.queue import messages, monitor, names
from core.queue.messages import Unreadable
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


def told(**changes: object) -> str:
    """A message about a job, with some of its fields replaced."""
    whole = {
        "queue_name": "callbacks",
        "actor_name": "finish",
        "args": ["some-job"],
        "kwargs": {"part": "", "tries": 0},
        "options": {"redis_message_id": "ID"},
        "message_id": "one",
        "message_timestamp": 1_800_000_000_000,
    }
    return json.dumps(whole | changes)


def option(**more: object) -> str:
    return told(options={"redis_message_id": "ID", **more})


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


#: What lies on the queue `callbacks`, and words of why nobody can act on it.
HOSTILE: dict[str, tuple[str, str]] = {
    "nested 600 deep": (told(args=["some-job", json.loads(nested(600))]), "nested more than 500 deep"),
    "nested 100 000 deep": (nested(100_000), "nested more than 500 deep"),
    "a number of 5000 digits": (told().replace("1800000000000", "9" * 5000), "no JSON"),
    "17 MB": (told(args=["x" * (17 << 20)]), "more than 16777216"),
    "of another queue": (told(queue_name="nowhere"), "of the queue 'nowhere'"),
    "a queue that is a list": (told(queue_name=["callbacks"]), "queue_name: must be text"),
    "an actor that is a list": (told(actor_name=["finish"]), "actor_name: must be text"),
    "arguments that are text": (told(args="some-job"), "args: must be a list"),
    "named arguments that are a list": (told(kwargs=[1]), "kwargs: must be a table"),
    "options that are a list": (told(options=[]), "options: must be a table"),
    "a field too many": (told(extra=1), "extra: is not known"),
    "a time that is text": (told(message_timestamp="now"), "message_timestamp"),
    "a time before all times": (told(message_timestamp=-1), "must be 0 or more"),
    "a time without end": (told(message_timestamp=float("inf")), "message_timestamp"),
    "a time that is no number": (option(eta=float("nan")), "options.eta"),
    "a time that is nothing": (option(eta=None), "options.eta.int: must be a whole number"),
    "a time out of reach": (option(eta=1e300), "options.eta"),
    "tried as often as text": (option(retries="many"), "options.retries"),
    "an error's class as text": (option(throws="OSError"), "options.throws"),
    "a job that is a number": (told(args=[7]), "job: must be text"),
    "a job that leads elsewhere": (told(args=["../../etc"]), "is not an id"),
    "a job with a null byte": (told(args=["some\0job"]), "is not an id"),
    "half of a surrogate pair": (told(args=["\ud800"]), "job"),
    "half of a surrogate pair as actor": (told(actor_name="\ud800"), "actor_name"),
    "no job": (told(args=[]), "job: is missing"),
    "a part that leads elsewhere": (told(kwargs={"part": "../../x"}), "part: must match"),
    "a part of 1 MB": (told(kwargs={"part": "x" * 1_000_000}), "part: must match"),
    "tried less than never": (told(kwargs={"tries": -1}), "tries: must be 0 or more"),
    "tried for ever": (told(kwargs={"tries": 10**400}), "tries"),
    "tried once and a half": (told(kwargs={"tries": 1.5}), "tries: must be a whole number"),
    "a million arguments": (told(args=["some-job"] * 1_000_000), "more arguments"),
}


def test_each_hostile_message_is_set_aside_with_its_reason_and_no_thread_ends(
    start: Start, submit: Submit, ended: Ended, redis_server: RedisServer
) -> None:
    for number, (body, _) in enumerate(HOSTILE.values()):
        for queue in ("callbacks", "callbacks.DQ")[: 1 if len(body) > 1 << 20 else 2]:
            whole = body.replace('"ID"', f'"{number}"')
            if queue.endswith("DQ"):
                whole = whole.replace('"queue_name": "callbacks"', '"queue_name": "callbacks.DQ"')
            put(redis_server, queue, str(number), whole.encode())
    assert monitor.overview(redis_server.client)["delayed"] == [], "whoever looks before does not stumble either"
    worker = start("encoding", "callbacks", threads=1)

    assert ended(submit(write="x")).state == "succeeded"
    until(lambda: len(monitor.dead(redis_server.client)) >= len(HOSTILE), what="all are set aside")
    reasons = [one["reason"] for one in monitor.dead(redis_server.client)]
    log = worker.log.read_text()
    for name, (_, words) in HOSTILE.items():
        assert any(words in reason for reason in reasons), name
        assert words in log, name
    assert "Traceback" not in log
    assert len(log) < 200_000, "no message is logged whole"


def test_what_is_set_aside_is_shown_by_dead(start: Start, submit: Submit, redis_server: RedisServer) -> None:
    put(redis_server, "callbacks", "0", told(actor_name="x\x1b[31m", options={"redis_message_id": "0"}).encode())
    put(redis_server, "callbacks", "1", told(args=[7], options={"redis_message_id": "1"}).encode())
    submit(write="x")
    start("callbacks")
    until(lambda: len(monitor.dead(redis_server.client)) == 2, what="both are set aside")

    shown = subprocess.run([sys.executable, "-m", "core.cli", "dead"], capture_output=True, text=True, check=True)
    assert "message on callbacks set aside: job: must be text" in shown.stdout
    assert "nobody here does what it asks for" in shown.stdout
    assert "\x1b" not in shown.stdout


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_whatever_is_on_a_queue_is_a_message_or_is_told_why_not(data: st.DataObject) -> None:
    """Fields of a message replaced by any JSON: what is read is of the types that Dramatiq and our actors take."""
    whole = json.loads(told())
    for field in data.draw(st.sets(st.sampled_from([*whole, "more"]), max_size=3)):
        whole[field] = data.draw(JSON)
    for field in data.draw(st.sets(st.sampled_from(["eta", "retries", "reason", "traceback", "throws"]), max_size=2)):
        if isinstance(whole.get("options"), dict):
            whole["options"][field] = data.draw(JSON)
    try:
        message = messages.decode(json.dumps(whole).encode(), "callbacks")
    except Unreadable:
        return
    job, options = names.job_of(message), message.options
    assert job is not None
    assert JobFolder(Path("root"), job).path.parent == Path("root/jobs")
    assert message.queue_name == "callbacks"
    assert 0 <= max(message.message_timestamp, options.get("eta") or 0) < 1e15
    assert options.get("retries", 0) + 1 > 0
    assert options.get("throws") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


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
