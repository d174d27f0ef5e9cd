"""An Esup-Pod that answers as a real one, its messages on a real Redis, and a bridge in a process of its own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from core.pod.parking import Message
from core.settings import Settings

from ..service.conftest import RedisServer, redis_server, service, start, toy_service, until  # noqa: F401  # fixtures
from .fake_pod import TOKEN, FakePod

MESSAGES = Path(__file__).parents[1] / "data" / "pod-messages"

#: Where the captured messages say that the media are.
CAPTURED_ROOT = "/srv/pod/media"

RUNNER_TOKEN = "manager-token"


def captured(task: str) -> list[dict[str, Any]]:
    """Return the messages of a task as Pod's server pushed them."""
    return [json.loads(line) for line in (MESSAGES / f"{task}.jsonl").read_text().splitlines()]


def arguments(message: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    args, kwargs, _embed = json.loads(base64.b64decode(message["body"]))
    return args, kwargs


def change_body(message: dict[str, Any], change: Callable[[list[Any], dict[str, Any]], None]) -> None:
    args, kwargs = arguments(message)
    change(args, kwargs)
    message["body"] = base64.b64encode(json.dumps([args, kwargs, {}]).encode()).decode()


def rewritten(message: dict[str, Any], media_root: Path) -> str:
    """Return a captured message with its paths below another media root, ready for LPUSH."""
    body = base64.b64decode(message["body"]).decode().replace(CAPTURED_ROOT, str(media_root))
    raw = {name: value for name, value in message.items() if name != "body_decoded"}
    return json.dumps(raw | {"body": base64.b64encode(body.encode()).decode()})


@pytest.fixture
def media(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.fixture
def pod(service: Settings, media: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePod]:  # noqa: F811
    """An Esup-Pod; the environment is that of a host that serves it, clocks shortened."""
    server = FakePod(media)
    server.start()
    redis_url = (service.broker_url or "").removesuffix("/0")
    values = {
        "MEDIA_ROOT": str(media),
        "POD_API_URL": server.url,
        "POD_API_TOKEN": TOKEN,
        "ENCODING_TRANSCODING_CELERY_BROKER_URL": f"{redis_url}/5",
        "XAPI_CELERY_BROKER_URL": f"{redis_url}/6",
        "AMPHIPOD_MEDIA_ROOTS": "",
        "AMPHIPOD_BRIDGE_SECONDS": "1",
        "AMPHIPOD_CALLBACK_RETRY_SECONDS": "0.2",
        "AMPHIPOD_CALLBACK_LONGEST_DELAY": "0.5",
        "AMPHIPOD_CALLBACK_TIME_LIMIT": "1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    yield server
    server.stop()


@pytest.fixture
def pod_settings(pod: FakePod) -> Settings:
    from core import settings

    return settings.load()


Run = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def bridge(pod: FakePod, tmp_path: Path) -> Iterator[Run]:
    """Start `amphipod bridge`, and wait until it serves."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(*queues: str, **environment: str) -> subprocess.Popen[bytes]:
        log = tmp_path / f"bridge-{len(running)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "core.cli", "bridge", *queues],
                env=os.environ | environment,
                stdout=file,
                stderr=file,
            )
        running.append(process)
        until(lambda: "bridge serves" in log.read_text() or process.poll() is not None, what="the bridge serves")
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()


def as_message(message: dict[str, Any], media_root: Path) -> Message:
    """Return a captured message as the bridge hands it on."""
    raw = json.loads(rewritten(message, media_root))
    queue = raw["properties"]["delivery_info"]["routing_key"]
    return Message(queue=queue, headers=raw["headers"], body=base64.b64decode(raw["body"]).decode(errors="replace"))


@pytest.fixture
def push(redis_server: RedisServer, media: Path) -> Callable[..., str]:  # noqa: F811
    """Put a captured message on Pod's queue, as its server does. Returns the task's id."""
    import redis

    def send(task: str, number: int = 0, *, change: Callable[[dict[str, Any]], None] = lambda message: None) -> str:
        message = captured(task)[number]
        change(message)
        queue = message["properties"]["delivery_info"]["routing_key"]
        database = 6 if queue == "xapi" else 5
        with redis.Redis(port=redis_server.port, db=database) as client:
            client.sadd(f"_kombu.binding.{queue}", f"{queue}\x06\x16\x06\x16{queue}")
            client.lpush(queue, rewritten(message, media))
        return str(message["headers"]["id"])

    return send


# Of the runner managers' generation


@dataclass
class Portal:
    """Serves media and takes notifications."""

    folder: Path
    notified: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    url: str = ""

    def start(self) -> ThreadingHTTPServer:
        portal = self

        class Handler(SimpleHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                portal.notified.append((self.headers["Authorization"], body))
                self.send_response(portal.answers.pop() if portal.answers else 200)
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                """Keep quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(self.folder)))
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    (tmp_path / "portal").mkdir()
    one = Portal(tmp_path / "portal")
    server = one.start()
    yield one
    server.shutdown()
    server.server_close()


def task(portal: Portal, source: str, kind: str = "encoding", **parameters: Any) -> dict[str, Any]:
    return {
        "etab_name": "University",
        "app_name": "Esup-Pod",
        "app_version": "4.3.0",
        "task_type": kind,
        "source_url": f"{portal.url}/{source}",
        "notify_url": f"{portal.url}/runner/notify_task_end/",
        "parameters": parameters,
    }
