"""Whatever lies on Pod's queues, the bridge parks it with a reason and takes what comes behind it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu.connection import Connection
from kombu.messaging import Producer

from core.pod import parking
from core.pod.celery_messages import take
from core.pod.parking import Message
from core.settings import Settings
from core.storage.job_folder import JobFolder

from ..service.conftest import RedisServer, until
from .conftest import Run, arguments, as_message, captured, rewritten

ENCODE = "pod.video_encode_transcript.encoding_tasks.start_encoding_task"


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def envelope(**changes: Any) -> str:
    """Return a captured message with some of its fields replaced."""
    message = captured("start_encoding_task")[0]
    message.pop("body_decoded", None)
    return json.dumps(message | changes)


def with_body(text: str | bytes, **headers: Any) -> str:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    message = captured("start_encoding_task")[0]
    return envelope(body=base64.b64encode(data).decode(), headers=message["headers"] | headers)


def call(*args: Any, **kwargs: Any) -> str:
    return with_body(json.dumps([args, kwargs, {}]))


def film(media: Path, name: str) -> str:
    """An encoding of a file in the media root."""
    return call(3, str(media / name), 0, 0)


def unfolding() -> bytes:
    """200 MB of blanks, packed into 200 kB."""
    packer = zlib.compressobj()
    return b"".join(packer.compress(b" " * (1 << 20)) for _ in range(200)) + packer.flush()


#: By name: an item of the list, from the media root; and words of the reason it is parked with.
HOSTILE: dict[str, tuple[Callable[[Path], str | bytes], str]] = {
    "a path of 300 characters": (lambda media: film(media, "x" * 300), "can't be a path"),
    "a path through a file of 300 characters": (lambda media: film(media, "x" * 300 + "/a.mp4"), "can't be a path"),
    "a loop of links": (lambda media: film(media, "loop/a.mp4"), "can't be a path"),
    "a null byte in a path": (lambda media: film(media, "a\0.mp4"), "can't be a path"),
    "half of a surrogate pair in a path": (lambda media: film(media, "\ud800.mp4"), "surrogate"),
    "half of a surrogate pair as bytes": (lambda _: with_body('[[3, "\ud800"], {}, {}]'), "surrogate"),
    "arguments nested 240 deep": (lambda media: call(3, str(media / "a"), 0, 0, {"x": nested(240)}), "stored"),
    "arguments nested 100 000 deep": (lambda _: with_body("[" * 100_000 + "]" * 100_000), "recursion"),
    "an item nested 240 deep": (lambda _: json.dumps(nested(240)), "not a message"),
    "an item nested 100 000 deep": (lambda _: "[" * 100_000, "not a message"),
    "an item that is no JSON": (lambda _: "hello", "not a message"),
    "an item that is no UTF-8": (lambda _: b"\xff\xfe\x00", "not a message"),
    "an empty item": (lambda _: "", "not a message"),
    "an item that is a number": (lambda _: "7", "not a message"),
    "an envelope without properties": (lambda _: '{"body": ""}', "not a message"),
    "a tag that is no text": (lambda _: envelope(properties={"delivery_tag": {"a": 1}}), "not a message"),
    "headers that are a list": (lambda _: envelope(headers=["a"]), "not a message"),
    "a body in no known encoding": (
        lambda _: envelope(properties={"delivery_tag": "t", "body_encoding": "rot13"}),
        "not a message",
    ),
    "a body that is an object": (
        lambda _: envelope(body={"a": 1}, properties={"delivery_tag": "o"}),
        "not a message",
    ),
    "a body packed by nobody we know": (lambda _: with_body("[]", compression="application/x-none"), "not a message"),
    "a body that is no UTF-8": (lambda _: with_body(b"\xff\xfe[[1]]"), "protocol 2"),
    "an empty body": (lambda _: with_body(""), "protocol 2"),
    "a pickle": (lambda _: with_body(b"\x80\x04K\x07."), "protocol 2"),
    "a task that is an object": (lambda _: with_body("[[], {}, {}]", task={"a": [1]}), "no task"),
    "an id that is a list": (lambda _: with_body("[[], {}, {}]", id=["a", "b"]), "missing"),
    "a body of 17 MB": (lambda _: with_body(b" " * (13 << 20)), "not a message"),
    "a body that unfolds to 200 MB": (
        lambda _: envelope(
            body=base64.b64encode(unfolding()).decode(),
            headers=captured("start_encoding_task")[0]["headers"] | {"compression": "application/x-gzip"},
        ),
        "unfolds to more than",
    ),
    "a body that is packed by half": (
        lambda _: envelope(
            body=base64.b64encode(zlib.compress(b"[[], {}, {}]")[:-3]).decode(),
            headers=captured("start_encoding_task")[0]["headers"] | {"compression": "zlib"},
        ),
        "cut off",
    ),
    "a video of a negative number": (lambda media: call(-3, str(media / "a.mp4"), 0, 0), "must be 0 or more"),
    "a video of 400 digits": (lambda media: call(10**400, str(media / "a.mp4"), 0, 0), "video_id"),
    "a cut before the beginning": (lambda media: call(3, str(media / "a.mp4"), -5, 0), "cut_start: must be 0 or more"),
    "a cut without end": (lambda media: call(3, str(media / "a.mp4"), 0, float("inf")), "cut_end"),
    "a cut after a thousand years": (lambda media: call(3, str(media / "a.mp4"), 0, 10**11), "cut_end"),
    "a dressing of 2 MB": (
        lambda media: call(3, str(media / "a.mp4"), 0, 0, {"title": "x" * (2 << 20)}),
        "more than 1048576",
    ),
    "a dressing that is no number": (
        lambda media: call(3, str(media / "a.mp4"), 0, 0, {"title": float("nan")}),
        "no number that JSON has",
    ),
    "a date out of reach": (lambda _: with_body("[[], {}, {}]", expires="0001-01-01T00:00:00+23:00"), ""),
}


@pytest.fixture
def media_with_loop(media: Path) -> Path:
    (media / "loop").symlink_to(media / "loop")
    return media


def test_each_is_parked_and_the_next_is_taken(
    bridge: Run,
    push: Callable[..., str],
    pod_settings: Settings,
    redis_server: RedisServer,
    media_with_loop: Path,
) -> None:
    process = bridge("encoding")
    with redis.Redis(port=redis_server.port, db=5) as client:
        for make, _ in HOSTILE.values():
            client.lpush("encoding", make(media_with_loop))
        last = push("start_encoding_task")
        until(JobFolder(pod_settings.jobs_root, f"pod-{last}").request.exists, 60, "the last one is taken")
        until(lambda: not client.hlen("amphipod.unacked") and not client.llen("encoding"), what="all are acknowledged")

    reasons = [one.reason for _, one in parking.parked(pod_settings)]
    # One has expired, and is told as such.
    assert len(reasons) == len(HOSTILE) - 1
    for name, (_, words) in HOSTILE.items():
        assert any(words in reason for reason in reasons), name
    assert [path.name for path in (pod_settings.jobs_root / "jobs").iterdir()] == [f"pod-{last}"], "no half of a job"
    command = [sys.executable, "-m", "core.cli", "pod", "parked"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    again = subprocess.run([*command, "--retry"], capture_output=True, text=True)
    assert shown.count("\n    ") == len(reasons)
    assert (again.returncode, again.stdout.splitlines()[0]) == (1, "0 messages taken")
    assert len(list(parking.parked(pod_settings))) == len(reasons)
    assert process.poll() is None


def test_what_kombu_publishes_in_another_form_is_parked_or_taken(
    bridge: Run, pod_settings: Settings, redis_server: RedisServer, media: Path
) -> None:
    """Content types, priorities and packed bodies that Celery can be set to."""
    args, kwargs = arguments(captured("start_encoding_task")[0])
    args[1] = str(media / "a.mp4")
    bridge("encoding")
    forms: dict[str, dict[str, Any]] = {
        "plain": {},
        "urgent": {"priority": 9},
        "packed": {"compression": "zlib"},
        "yaml": {"serializer": "yaml"},
        "bytes": {"serializer": "raw"},
    }
    with Connection(f"redis://127.0.0.1:{redis_server.port}/5") as connection:  # type: ignore[no-untyped-call]
        for name, how in forms.items():
            body = b"\x00\xff" if name == "bytes" else [args, kwargs, {}]
            headers = {"id": name, "task": ENCODE}
            producer: Any = Producer(connection)  # type: ignore[no-untyped-call]
            producer.publish(body, routing_key="encoding", headers=headers, **how)

    def done() -> set[str]:
        taken = {path.parent.name.removeprefix("pod-") for path in pod_settings.jobs_root.glob("jobs/*/request.json")}
        return taken | {f"{path.stem} parked" for path, _ in parking.parked(pod_settings)}

    wanted = {"plain", "urgent", "packed", "yaml parked", "bytes parked"}
    until(lambda: done() == wanted, what="each is taken or parked")


def test_a_fault_of_no_known_kind_is_tried_again_then_parked(
    bridge: Run, push: Callable[..., str], pod_settings: Settings, tmp_path: Path
) -> None:
    """A job's folder that is somebody's file: no error of ours."""
    first = captured("start_encoding_task")[0]["headers"]["id"]
    (pod_settings.jobs_root / "jobs").mkdir(parents=True)
    (pod_settings.jobs_root / "jobs" / f"pod-{first}").write_text("in the way")
    bridge("encoding")
    push("start_encoding_task")
    second = push("start_encoding_task", 1)

    until(JobFolder(pod_settings.jobs_root, f"pod-{second}").request.exists, what="the next one is taken")
    ((path, one),) = parking.parked(pod_settings)
    assert path.stem == first
    assert "(tried 3 times)" in one.reason
    assert "tries=2" in (tmp_path / "bridge-0.log").read_text()


def test_an_outage_of_our_redis_or_disk_parks_nothing(
    bridge: Run, push: Callable[..., str], pod_settings: Settings, tmp_path: Path, redis_server: RedisServer
) -> None:
    """Messages wait, however often they were tried; here the jobs root is away."""
    pod_settings.jobs_root.write_text("no folder")
    bridge("encoding")
    task = push("start_encoding_task")
    log = tmp_path / "bridge-0.log"
    until(lambda: "neither taken nor parked" in log.read_text(), what="it is said")
    pod_settings.jobs_root.unlink()

    until(JobFolder(pod_settings.jobs_root, f"pod-{task}").request.exists, what="it is taken")
    until(lambda: redis_server.client.llen("amphipod:encoding") == 1, what="it is enqueued")
    assert not list(parking.parked(pod_settings))


def test_the_broker_goes_and_comes_back(
    bridge: Run, push: Callable[..., str], pod_settings: Settings, redis_server: RedisServer
) -> None:
    process = bridge("encoding")
    redis_server.kill()
    time.sleep(1)
    redis_server.start()
    task = push("start_encoding_task")

    until(JobFolder(pod_settings.jobs_root, f"pod-{task}").request.exists, 30, "it is taken")
    assert process.poll() is None


def test_two_of_one_id_are_both_kept(pod_settings: Settings, media: Path) -> None:
    message = as_message(captured("start_encoding_task")[0], media)
    for task in ("pod.one", "pod.two", "pod.two"):
        assert not take(Message("encoding", {**message.headers, "task": task}, message.body), pod_settings)

    assert sorted(one.message.task for _, one in parking.parked(pod_settings)) == ["pod.one", "pod.two"]


def test_a_parked_file_that_cannot_be_read_hides_no_other(pod_settings: Settings, media: Path) -> None:
    message = as_message(captured("start_encoding_task")[0], media)
    take(Message("encoding", {**message.headers, "task": "pod.new"}, message.body), pod_settings)
    (pod_settings.jobs_root / "parked" / "0.json").write_text('{"reason": ')

    assert ["can't be read" in one.reason for _, one in parking.parked(pod_settings)] == [True, False]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.text(max_size=40) | st.lists(JSON, max_size=6).map(lambda args: json.dumps([args, {}, {}])), header=JSON)
def test_whatever_a_body_and_a_header_are_they_are_parked_as_they_came(
    body: str, header: Any, pod_settings: Settings
) -> None:
    for path, _ in parking.parked(pod_settings):
        path.unlink()
    message = Message("encoding", {"id": header, "task": ENCODE, "eta": header, "expires": header}, body)

    assert not take(message, pod_settings)
    ((_, one),) = parking.parked(pod_settings)
    assert json.dumps(one.message.headers) == json.dumps(message.headers)
    assert one.message.body == body


@pytest.mark.long
def test_thousands_of_damaged_messages_end_as_a_job_or_parked(
    bridge: Run, push: Callable[..., str], pod_settings: Settings, redis_server: RedisServer, media: Path
) -> None:
    """Seeded: bytes changed, cut off or doubled anywhere in messages as Pod's server sent them."""
    import random

    dice = random.Random(20)
    tasks = ("start_encoding_task", "start_studio_task", "start_transcripting_task")
    whole = [rewritten(message, media).encode() for task in tasks for message in captured(task)]
    process = bridge("encoding")
    with redis.Redis(port=redis_server.port, db=5) as client:
        for _ in range(1500):
            item = bytearray(dice.choice(whole))
            for _ in range(dice.randint(1, 4)):
                place = dice.randrange(len(item) or 1)
                item[place : place + dice.randint(0, 3)] = dice.randbytes(dice.randint(0, 3))
            client.lpush("encoding", bytes(item))
        last = push("start_encoding_task", change=lambda message: message["headers"].update(id="the-last"))
        until(JobFolder(pod_settings.jobs_root, f"pod-{last}").request.exists, 120, "the last one is taken")
        until(lambda: not client.hlen("amphipod.unacked") and not client.llen("encoding"), what="all are acknowledged")
    for request in pod_settings.jobs_root.glob("jobs/*"):
        assert JobFolder(pod_settings.jobs_root, request.name).job().id == request.name
    assert process.poll() is None
