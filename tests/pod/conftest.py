"""An Esup-Pod that answers as a real one, its messages on a real Redis, and a bridge in a process of its own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.pod.messages import Message
from core.settings import Settings

from ..service.conftest import RedisServer, redis_server, service, start, toy_service, until  # noqa: F401  # fixtures
from .fake_pod import TOKEN, FakePod

MESSAGES = Path(__file__).parents[1] / "data" / "pod-messages"

#: Where the captured messages say that the media are.
CAPTURED_ROOT = "/srv/pod/media"


def captured(task: str) -> list[dict[str, Any]]:
    """Return the messages of a task as Pod's server pushed them."""
    return [json.loads(line) for line in (MESSAGES / f"{task}.jsonl").read_text().splitlines()]


def arguments(message: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    args, kwargs, _embed = json.loads(base64.b64decode(message["body"]))
    return args, kwargs


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
