"""The bridge: each of Pod's messages becomes one job, whatever happens to the bridge."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.model import Job
from core.pod.celery_messages import take
from core.settings import Settings
from core.statements.submit import INTAKE
from core.storage.job_folder import JobFolder

from ..service.conftest import RedisServer, until
from .conftest import Run, arguments, as_message, captured, change_body

#: Lines of start_encoding_task.jsonl.
DRESSED, CUT = 5, 6

#: Kills the process at a call or return of a function, once, when the file `armed` names it.
SABOTEUR = """
import os, pathlib, signal, sys, threading

armed = pathlib.Path(os.environ["ARMED"])
name, event, count = armed.read_text().split() if armed.exists() else ("", "", "0")
left = int(count)

def trace(frame, what, argument):
    if frame.f_code.co_name != name or "site-packages/celery" in frame.f_code.co_filename:
        return None
    if what == event:
        hit()
    return local if event == "return" else None

def local(frame, what, argument):
    if what == "return":
        hit()
    return local

def hit():
    global left
    left -= 1
    if left == 0:
        armed.unlink(missing_ok=True)
        os.kill(os.getpid(), signal.SIGKILL)

if name:
    threading.settrace(trace)
"""


def jobs(settings: Settings) -> list[Job]:
    return [
        JobFolder(settings.jobs_root, path.parent.name).job() for path in settings.jobs_root.glob("jobs/*/request.json")
    ]


def unacknowledged(server: RedisServer) -> int:
    import redis

    with redis.Redis(port=server.port, db=5) as client:
        return int(client.llen("encoding") + client.hlen("amphipod.unacked") + client.hlen("unacked"))


class TestWhatAMessageBecomes:
    @pytest.fixture
    def taken(self, pod_settings: Settings, media: Path) -> Callable[..., Job]:
        def take_one(
            task: str, number: int = 0, change: Callable[[dict[str, Any]], None] = lambda message: None
        ) -> Job:
            message = captured(task)[number]
            change(message)
            assert take(as_message(message, media), pod_settings)
            return JobFolder(pod_settings.jobs_root, f"pod-{message['headers']['id']}").job()

        return take_one

    def test_encoding(self, taken: Callable[..., Job], media: Path) -> None:
        job = taken("start_encoding_task")

        (number, path, *_), _ = arguments(captured("start_encoding_task")[0])
        path = path.replace("/srv/pod/media", str(media))
        assert str(job.source.path) == path
        assert job.output == Path(path).parent / f"{number:04}"
        assert (job.steps, job.options) == (("encode",), {})
        assert job.id == f"pod-{job.correlation}", "Celery's task is found again in each line and callback"
        assert job.callbacks[0].url == f"store_remote_encoded_video/?id={number}"
        assert job.callbacks[0].body == {
            "video_id": number,
            "video_path": path,
            "cut_start": 0,
            "cut_end": 0,
            "json_dressing": None,
            "dressing_input": "",
        }

    def test_cut_and_dressing(self, taken: Callable[..., Job], media: Path) -> None:
        dressed = taken("start_encoding_task", DRESSED).options

        assert taken("start_encoding_task", CUT).options == {"cut_start": 2, "cut_end": 9}
        assert dressed["dressing"]["watermark"]["position"] == "top_right"
        assert dressed["dressing"]["watermark"]["opacity"] == 50
        assert dressed["dressing"]["watermark"]["path"].startswith(str(media))

    def test_credits_are_relative_to_the_media_root(self, taken: Callable[..., Job], media: Path) -> None:
        def add_credits(message: dict[str, Any]) -> None:
            change_body(
                message, lambda _args, kwargs: kwargs["json_dressing"].update(opening_credits_video="videos/o.mp4")
            )

        assert taken("start_encoding_task", DRESSED, change=add_credits).options["dressing"]["opening"] == str(
            media / "videos/o.mp4"
        )

    def test_studio(self, taken: Callable[..., Job], media: Path) -> None:
        job = taken("start_studio_task")

        assert job.steps == ("compose",)
        assert [source.role for source in job.sources] == ["presenter", "presentation"]
        assert job.options == {"layout": "mid", "clip_start": 1.0, "clip_end": 4.5}
        assert job.callbacks[0].body == {"video_output": str(media / "opencast-files/studio-1/studio-1.mp4")}

    def test_transcription(self, taken: Callable[..., Job], media: Path) -> None:
        job = taken("start_transcripting_task")

        assert (job.steps, job.language) == (("transcribe",), "fr")
        assert job.callbacks[0].body == {"video_id": 3, "temp_vtt_file": str(media / "temp" / f"{job.id}.vtt")}

    def test_a_statement_goes_to_the_record_stores_as_it_is(
        self, bridge: Run, push: Callable[..., str], redis_server: RedisServer
    ) -> None:
        bridge()
        sent = [arguments(message)[0][0] for message in captured("send_xapi_statement_task")]
        for number in range(len(sent)):
            push("send_xapi_statement_task", number)

        def waiting() -> list[Any]:
            client = redis_server.client
            partitions = list(client.scan_iter(f"amphipod:statements:{INTAKE}:*", _type="stream"))
            entries: list[Any] = [entry for partition in partitions for entry in client.xrange(partition) or ()]
            return [json.loads(fields["s"]) for _, fields in entries]

        until(lambda: len(waiting()) == len(sent), what="all statements are taken")
        found = {one["id"]: one for one in waiting()}
        assert all({**found[one["id"]], "timestamp": 0} == {**one, "timestamp": 0} for one in sent)


class TestWhatCannotBeActedOn:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda message: message["headers"].update(task="pod.main.tasks.dance"), "pod.main.tasks.dance"),
            (lambda message: change_body(message, lambda args, _: args.pop()), None),
            (lambda message: change_body(message, lambda args, _: args.__setitem__(0, "three")), "video_id"),
            (lambda message: change_body(message, lambda args, _: args.__setitem__(1, "/etc/passwd")), "media roots"),
            (lambda message: change_body(message, lambda args, _: args.extend("abc")), "argument"),
            (lambda message: message.update(body="bm90IGpzb24="), "protocol 2"),
        ],
        ids=["unknown task", "cut_end missing", "id is no number", "outside", "too many", "no JSON"],
    )
    def test_is_parked_and_named(self, change: Any, reason: str | None, pod_settings: Settings, media: Path) -> None:
        message = captured("start_encoding_task")[0]
        change(message)
        taken = take(as_message(message, media), pod_settings)

        if reason is None:  # Pod's own worker has no such default, but a cut without an end can only mean one thing
            assert taken
            return
        parked = pod_settings.jobs_root / "parked" / f"{message['headers']['id']}.json"
        assert not taken
        assert reason in json.loads(parked.read_text())["reason"]
        assert jobs(pod_settings) == []

    def test_parked_ones_are_listed_and_tried_again(
        self, bridge: Run, push: Callable[..., str], pod_settings: Settings, redis_server: RedisServer
    ) -> None:
        bridge("encoding")
        task = push("start_encoding_task", change=lambda message: message["headers"].update(task="pod.new.task"))
        until(lambda: unacknowledged(redis_server) == 0, what="the message is acknowledged")
        command = [sys.executable, "-m", "core.cli", "pod", "parked"]
        seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        file = pod_settings.jobs_root / "parked" / f"{task}.json"
        known = "pod.video_encode_transcript.encoding_tasks.start_encoding_task"
        file.write_text(file.read_text().replace("pod.new.task", known))  # as if the bridge had learnt it
        again = subprocess.run([*command, "--retry"], capture_output=True, text=True, check=True).stdout

        assert task in seen
        assert "'pod.new.task'" in seen
        assert again == "1 messages taken\n"
        assert not file.exists()
        assert [job.id for job in jobs(pod_settings)] == [f"pod-{task}"]

    def test_an_expired_message_is_dropped(
        self, bridge: Run, push: Callable[..., str], pod_settings: Settings, redis_server: RedisServer
    ) -> None:
        bridge("encoding")
        past = (datetime.now(UTC) - timedelta(seconds=5)).isoformat()
        push("start_encoding_task", change=lambda message: message["headers"].update(expires=past))

        until(lambda: unacknowledged(redis_server) == 0, what="the message is acknowledged")
        assert jobs(pod_settings) == []

    def test_one_with_an_eta_begins_then(
        self, bridge: Run, push: Callable[..., str], pod_settings: Settings, redis_server: RedisServer
    ) -> None:
        bridge("encoding")
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        push("start_encoding_task", change=lambda message: message["headers"].update(eta=later))

        until(lambda: redis_server.client.llen("amphipod:encoding.DQ"), what="the job waits for its time")
        assert redis_server.client.llen("amphipod:encoding") == 0


@pytest.mark.long
@pytest.mark.usefixtures("pod")
def test_killed_anywhere_no_message_is_lost_and_none_becomes_two_jobs(
    bridge: Run,
    push: Callable[..., str],
    pod_settings: Settings,
    redis_server: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """300 messages; the bridge is killed on its way from receiving to acknowledging, at each turn of it."""
    site, armed = tmp_path / "sabotage", tmp_path / "armed"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SABOTEUR)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("ARMED", str(armed))

    def number(index: int) -> Callable[[dict[str, Any]], None]:
        def change(message: dict[str, Any]) -> None:
            message["headers"]["id"] = message["properties"]["correlation_id"] = f"task-{index:03}"
            message["properties"]["delivery_tag"] = f"tag-{index:03}"

        return change

    for index in range(300):
        push("start_encoding_task", change=number(index))
    points = [
        "_receive call",
        "take call",
        "store call",
        "store return",
        "enqueue_all call",
        "enqueue_all return",
        "ack call",
        "ack return",
    ]
    for turn, point in enumerate(points):
        armed.write_text(f"{point} {5 + turn}")
        process = bridge("encoding")
        assert process.wait(30) == -signal.SIGKILL, point
        assert not armed.exists()
    last = bridge("encoding")
    until(lambda: unacknowledged(redis_server) == 0, 60, "all are acknowledged")

    found = jobs(pod_settings)
    assert sorted(job.id for job in found) == [f"pod-task-{index:03}" for index in range(300)]
    messages = Counter(json.loads(body)["args"][0] for body in redis_server.client.hvals("amphipod:encoding.msgs"))
    assert set(messages) == {job.id for job in found}
    assert sum(messages.values()) - 300 <= len(points), (
        "a job has a second message only where a kill came before the ack"
    )
    last.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert last.wait(15) == 0
    assert time.monotonic() - began < 5
