"""What a Redis refuses is one line with its remedy, nothing that was refused runs later, and workers wait it out."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import jobs
from core.errors import AmphipodError, BadSettings, OutOfReach
from core.jobs import Status
from core.redis import health
from core.settings import Settings

from .conftest import RedisServer, Start, Submit, until

Configure = Callable[[Any], object]

READER = "~* +@read +@connection"

#: How Redis is set up, the end of the broker's URL, what is raised, and what it says.
REFUSALS: dict[str, tuple[Configure, str, type[AmphipodError], str]] = {
    "ACL": (
        lambda redis: redis.execute_command("ACL", "SETUSER", "reader", "on", ">secret", *READER.split()),
        "reader:secret@",
        BadSettings,
        "forbids this user what is needed .*: give the user `~amphipod",
    ),
    "no login": (
        lambda redis: redis.config_set("requirepass", "secret"),
        "",
        BadSettings,
        "refuses the login .*: check the user and the password",
    ),
    "replica": (
        lambda redis: redis.execute_command("REPLICAOF", "127.0.0.1", "1"),
        "",
        OutOfReach,
        "is a read-only replica .*: let the broker's URL name the primary",
    ),
    "full": (
        lambda redis: redis.config_set("maxmemory", "1"),
        "",
        OutOfReach,
        "has reached its memory limit .*: raise `maxmemory`",
    ),
    "replicas": (
        lambda redis: redis.config_set("min-replicas-to-write", "1"),
        "",
        OutOfReach,
        "has too few replicas to take anything .*: start them again",
    ),
}


def refusing(server: RedisServer, name: str) -> tuple[str, type[AmphipodError], str]:
    configure, login, kind, words = REFUSALS[name]
    configure(server.client)
    return server.url.replace("//", f"//{login}"), kind, words


@pytest.mark.parametrize("name", REFUSALS)
def test_a_submit_that_is_refused_says_why_and_leaves_nothing(
    name: str, redis_server: RedisServer, toy_service: Settings
) -> None:
    url, kind, words = refusing(redis_server, name)

    with pytest.raises(kind, match=words):
        jobs.submit("a.mp4", settings=toy_service.model_copy(update={"broker_url": url}))

    folder = toy_service.jobs_root / "jobs"
    assert not folder.exists() or not list(folder.iterdir())


def test_a_database_that_is_not_there_is_one_line(toy_service: Settings) -> None:
    settings = toy_service.model_copy(update={"broker_url": f"{toy_service.broker_url}99"})

    with pytest.raises(BadSettings, match=r"has no database of this number .*: correct the number at the end"):
        jobs.submit("a.mp4", settings=settings)


def test_a_refused_submit_that_was_made_twice_is_kept(
    redis_server: RedisServer, toy_service: Settings, submit: Submit
) -> None:
    """Its second caller was told that it is taken."""
    job = submit(key="video 42")
    redis_server.client.config_set("min-replicas-to-write", "1")

    with pytest.raises(OutOfReach):
        submit(key="video 42")

    assert (toy_service.jobs_root / "jobs" / job / "request.json").exists()


@pytest.mark.parametrize("command", [["resume"], ["cancel", "x"], ["workers"], ["statements"]])
def test_a_command_says_it_in_one_line(
    command: list[str], redis_server: RedisServer, toy_service: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, *_ = refusing(redis_server, "no login")
    monkeypatch.setenv("AMPHIPOD_BROKER_URL", url)
    if command[0] == "cancel":
        folder = toy_service.jobs_root / "jobs" / "x"
        folder.mkdir(parents=True)
        source = {"path": "/a.mp4"}
        from core.model import Job

        (folder / "request.json").write_text(Job(id="x", sources=[source], steps=["encode"]).to_json())

    done = subprocess.run([sys.executable, "-m", "core.cli", *command], capture_output=True, text=True)

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "refuses the login" in done.stderr


@pytest.mark.long
def test_a_worker_waits_out_a_refusal_and_says_so_in_a_line(
    start: Start, submit: Submit, ended: Callable[..., Status], redis_server: RedisServer, tmp_path: Path
) -> None:
    worker = start("encoding", "callbacks", threads=2)
    first = submit(sleep=2, write="x")
    until(lambda: "taken" in worker.log.read_text(), what="the job is taken")

    redis_server.client.config_set("min-replicas-to-write", "1")
    time.sleep(4)  # the step ends meanwhile
    redis_server.client.config_set("min-replicas-to-write", "0")

    assert ended(first).state == "succeeded"
    log = worker.log.read_text()
    assert "has too few replicas to take anything" in log
    assert "Traceback" not in log


def test_an_evicting_redis_fails_the_doctor_and_warns_a_worker(
    start: Start, redis_server: RedisServer, toy_service: Settings
) -> None:
    redis_server.client.config_set("maxmemory-policy", "allkeys-lru")
    worker = start("callbacks")

    found = {aspect: (ok, words) for aspect, ok, words in health.examine(redis_server.client)}

    assert found["memory"] == (
        False,
        "maxmemory-policy allkeys-lru throws jobs away when memory is short: set `maxmemory-policy noeviction`",
    )
    until(lambda: "throws jobs away" in worker.log.read_text(), what="the worker warns")


def test_a_redis_at_its_memory_limit_fails_the_doctor(redis_server: RedisServer) -> None:
    redis_server.client.config_set("maxmemory", 100_000)

    found = {aspect: (ok, words) for aspect, ok, words in health.examine(redis_server.client)}

    assert found["memory"] == (False, "its limit of 100000 bytes is reached, it takes nothing more: raise `maxmemory`")
