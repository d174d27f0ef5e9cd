"""A message that comes is told at once to whoever waits for one; who hears nothing looks for it as before."""

from __future__ import annotations

import threading

import pytest
from dramatiq import Message

from core import jobs
from core.queue import broker, consumers
from core.queue.bell import Bell
from core.settings import Settings

from .conftest import RedisServer

#: Seconds that nothing here takes, and that are enough to see that nothing comes.
LONG, SHORT = 30, 0.2


def message(queue: str) -> Message[None]:
    return Message(queue_name=queue, actor_name="nobody", args=(), kwargs={}, options={})


@pytest.fixture
def settings(redis_server: RedisServer) -> Settings:
    return Settings(broker_url=redis_server.url)


@pytest.fixture
def listener(settings: Settings) -> Bell:
    """Another process' bell, which listens."""
    bell = broker.connect(settings).bell
    bell.wait("encoding", 0)
    assert bell.wait("encoding", LONG), "it rings once when it has begun to listen"
    return bell


def test_it_rings_for_whoever_waits_for_a_queue(settings: Settings, listener: Bell) -> None:
    threading.Timer(SHORT, lambda: broker.connect(settings).enqueue(message("encoding"))).start()

    assert listener.wait("encoding", LONG)
    assert not listener.wait("encoding", SHORT), "once"


def test_a_batch_rings_for_each_of_its_queues(settings: Settings, listener: Bell) -> None:
    listener.wait("callbacks", 0)
    broker.connect(settings).enqueue_all([message("encoding"), message("callbacks")])

    assert listener.wait("callbacks", LONG)
    assert listener.wait("encoding", LONG)


def test_other_queues_stay_quiet(settings: Settings, listener: Bell) -> None:
    broker.connect(settings).enqueue(message("callbacks"))

    assert not listener.wait("encoding", SHORT)


def test_it_rings_again_after_redis_was_gone(settings: Settings, listener: Bell, redis_server: RedisServer) -> None:
    redis_server.kill()
    redis_server.start()

    assert listener.wait("encoding", LONG), "when it listens again: something may have come meanwhile"
    broker.connect(settings).enqueue(message("encoding"))
    assert listener.wait("encoding", LONG)


@pytest.mark.timeout(LONG / 2)
def test_a_consumer_that_rests_comes_when_it_rings_and_when_its_slot_is_free(
    toy_service: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "_POLL", LONG)  # who does not hear the bell is late
    jobs.submit("a.mp4", steps=("encode",), settings=toy_service)
    consumer = broker.connect(toy_service, heavy=["encoding"]).consume("encoding")
    first = next(consumer)
    assert first

    threading.Timer(SHORT, lambda: jobs.submit("a.mp4", steps=("encode",), settings=toy_service)).start()
    assert next(consumer) is None, "its slot is taken"
    consumer.ack(first)
    while (second := next(consumer)) is None:
        pass
    consumer.ack(second)


def test_without_a_right_to_channels_messages_are_taken_all_the_same(
    settings: Settings, redis_server: RedisServer
) -> None:
    redis_server.client.acl_setuser(
        "mute", enabled=True, passwords=["+secret"], keys=["amphipod*"], reset_channels=True, categories=["+@all"]
    )
    mute = broker.connect(settings.model_copy(update={"broker_url": redis_server.url.replace("//", "//mute:secret@")}))

    mute.enqueue(message("encoding"))

    assert not mute.bell.wait("encoding", SHORT)
    assert redis_server.client.llen("amphipod:encoding") == 1
