"""Dramatiq's broker as we need it: on Redis, one heavy message a slot, nothing forgotten when Redis restarts."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import redis
from dramatiq import Message, MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed

from core import connection, queues
from core.queues import NAMESPACE
from core.settings import Settings
from core.slots import Gate

if TYPE_CHECKING:
    from dramatiq import Consumer
    from dramatiq.middleware import Middleware

#: Seconds between two looks at a heavy queue, or at its closed gate; each tells Redis that this worker lives.
_POLL = 0.25

#: Out of a million commands, those that look for dead workers' messages: all. Dramatiq's default finds them after
#: 723 s; the cost of looking each time can't be measured.
_MAINTENANCE = 1_000_000


def connect(settings: Settings, middleware: Sequence[Middleware] = ()) -> Broker:
    """Return the broker; nothing is sent until it is used."""
    return Broker(settings, middleware)


class Broker(RedisBroker):
    """A RedisBroker that a bare `dramatiq core.actors` can use without harm.

    Dramatiq's prefetch is read before our code is loaded and hoards messages; here heavy queues hold one message a
    slot of the host, light ones as many as there are threads.
    """

    def __init__(self, settings: Settings, middleware: Sequence[Middleware]) -> None:
        super().__init__(
            url=connection.url(settings),
            namespace=NAMESPACE,
            middleware=list(middleware),
            maintenance_chance=_MAINTENANCE,
            heartbeat_timeout=round(settings.heartbeat_seconds * 1000),
        )
        self._gates = {queue: Gate(queue, settings.run_dir, settings.slots) for queue in queues.HEAVY}
        #: Set when a worker boots.
        self.worker_threads = 1

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        gate = self._gates.get(queues.bare(queue_name))
        if queues.is_delayed(queue_name):
            # A new consumer remembers none of the delayed messages that the last one held when its connection broke.
            self._reclaim(queue_name)
            return super().consume(queue_name, prefetch, timeout)
        if gate is None:
            return super().consume(queue_name, min(prefetch, self.worker_threads), timeout)
        if not gate.is_held:
            self._reclaim(queue_name)
        return _GatedConsumer(self, queue_name, timeout, gate)

    def _reclaim(self, queue_name: str) -> None:
        """Put back what Redis has given to this process and this process does not have."""
        with _connection_errors():
            held = self.client.smembers(f"{self.namespace}:__acks__.{self.broker_id}.{queue_name}")
            if held:
                self.do_requeue(queue_name, *held)


class _GatedConsumer(_RedisConsumer):
    """Fetches a message only when the host has a slot for it and no more urgent queue has one."""

    def __init__(self, broker: Broker, queue_name: str, timeout: int, gate: Gate) -> None:
        super().__init__(broker, queue_name, 1, timeout)
        self._gate = gate
        family = queues.by_priority(queues.bare(queue_name))
        self._more_urgent = family[: family.index(queue_name)]

    def __next__(self) -> MessageProxy | None:
        with _connection_errors():
            fetched = self._fetch()
            if fetched is None:
                self.broker.do_fetch(self.queue_name, 0)  # a heartbeat, and a look for dead workers' messages
                time.sleep(_POLL)
                return None
        message = Message.decode(fetched)
        self._gate.name_holder(f"{message.actor_name} of {message.args[0]} in process {os.getpid()}")
        self.queued_message_ids.add(message.message_id)
        return MessageProxy(message)

    def _fetch(self) -> bytes | None:
        """Fetch a message if there is a slot to run it in; the slot is kept only with a message."""
        if self._is_outranked():
            return None
        if not self._gate.enter():
            self._gate.tell_holders(self.queue_name, lambda: self._waiting(self.queue_name))
            return None
        fetched = None
        try:
            fetched = next(iter(self.broker.do_fetch(self.queue_name, 1)), None)
        finally:
            if fetched is None:
                self._gate.leave(served=False)
        return fetched

    def _is_outranked(self) -> bool:
        if not self._more_urgent or self._gate.goes_first(self.queue_name):
            return False
        return any(self._waiting(queue) for queue in self._more_urgent)

    def _waiting(self, queue: str) -> int:
        return int(self.broker.client.llen(f"{self.broker.namespace}:{queue}"))

    # A message that can't be acknowledged now keeps the gate: Dramatiq goes on trying; nothing is fetched meanwhile.

    def ack(self, message: MessageProxy) -> None:
        with _connection_errors():
            super().ack(message)
        self._gate.leave(served=True)

    def nack(self, message: MessageProxy) -> None:
        with _connection_errors():
            super().nack(message)
        self._gate.leave(served=True)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        waiting = list(messages)
        super().requeue(waiting)
        if waiting:
            self._gate.leave(served=False)


@contextlib.contextmanager
def _connection_errors() -> Iterator[None]:
    """Give Dramatiq the error that it knows how to wait out; a time-out would make it forget the message."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise ConnectionClosed(error) from None
