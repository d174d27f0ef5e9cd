"""How a worker takes messages from Redis: heavy ones a slot at a time, none of a job whose folder it can't see."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import redis
from dramatiq import Message, MessageProxy
from dramatiq.brokers.redis import _RedisConsumer
from dramatiq.common import compute_backoff, current_millis
from dramatiq.errors import ConnectionClosed

from core.errors import AmphipodError, BadSettings, OutOfReach
from core.queue import names
from core.queue.bell import Bell
from core.queue.slots import Gate
from core.redis import connection
from core.redis.clock import RedisClock
from core.redis.shared_root import RootWatch

#: Seconds between two looks at a heavy queue, or at a closed gate, while no bell rings; each tells Redis that this
#: worker lives.
_POLL = 0.25

#: Milliseconds for which Dramatiq's consumer rests after a look in vain: ours rests where it hears the bell.
_DRAMATIQ_S_REST = 1


class Refused(OutOfReach, ConnectionClosed):
    """Redis is away or takes nothing: one of our errors, and one that Dramatiq knows how to wait out."""


class Forbidden(BadSettings, ConnectionClosed):
    """Redis does not let us in; a worker waits for that too to be mended."""


def broker_error(error: redis.RedisError, address: str | None) -> AmphipodError:
    """Return a refusal of Redis as an error that Dramatiq's consumers wait out, without a trace in the log."""
    fault = connection.refusal(error, address)
    kind = Forbidden if isinstance(fault, BadSettings) else Refused
    return kind(fault.message, remedy=fault.remedy)


class MessageSource(Protocol):
    """What a consumer asks of the broker that made it."""

    address: str | None
    namespace: str
    heartbeat_timeout: int
    client: redis.Redis
    clock: RedisClock
    root: RootWatch
    bell: Bell

    def do_fetch(self, queue_name: str, count: int) -> list[bytes]: ...

    def let_go(self, queue_name: str, messages: Iterable[MessageProxy]) -> None: ...

    def reclaim(self, queue_name: str) -> None: ...


class Consumer(_RedisConsumer):
    """A RedisConsumer that meets every refusal of Redis as a connection error, and comes when the bell rings.

    From time to time it looks for messages that Redis has given to this process and that never came here: the answer
    was lost with its connection.
    """

    broker: MessageSource

    def __init__(self, broker: MessageSource, queue_name: str, prefetch: int, timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, _DRAMATIQ_S_REST)
        self._longest_rest = timeout
        self._reclaimed = time.monotonic()

    def _reclaim(self) -> None:
        """Look again: Redis may have done what was asked over a broken connection only after a new one was made."""
        if time.monotonic() - self._reclaimed >= self.broker.heartbeat_timeout / 1000:
            self.broker.reclaim(self.queue_name)
            self._reclaimed = time.monotonic()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except ConnectionClosed as error:  # Dramatiq's, around redis-py's
            cause = error.args[0] if error.args else error
            if isinstance(error, AmphipodError) or not isinstance(cause, redis.RedisError):
                raise
            raise broker_error(cause, self.broker.address) from None
        except redis.RedisError as error:
            raise broker_error(error, self.broker.address) from None

    def __next__(self) -> MessageProxy | None:
        with self._errors():
            self._reclaim()
            message: MessageProxy | None = super().__next__()
        if message is None:
            _, milliseconds = compute_backoff(self.misses, max_backoff=self._longest_rest)
            self.broker.bell.wait(self.queue_name, milliseconds / 1000)
        return message

    def ack(self, message: MessageProxy) -> None:
        with self._errors():
            super().ack(message)
        self.broker.let_go(self.queue_name, [message])

    def nack(self, message: MessageProxy) -> None:
        with self._errors():
            super().nack(message)
        self.broker.let_go(self.queue_name, [message])

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        waiting = list(messages)
        with self._errors():
            super().requeue(waiting)
        self.broker.let_go(self.queue_name, waiting)

    def _rest(self) -> None:
        """Take nothing for a while, but give a heartbeat and look for dead workers' messages."""
        self.broker.do_fetch(self.queue_name, 0)
        self.broker.bell.wait(self.queue_name, _POLL)


class DelayedConsumer(Consumer):
    """Holds messages until their time, which is Redis' and not that of whichever host has sent them."""

    def __next__(self) -> MessageProxy | None:
        message = super().__next__()
        if message is not None and isinstance(message.options.get("eta"), int | float):
            with self._errors():
                # Dramatiq compares it with this host's clock.
                message.options["eta"] += current_millis() - self.broker.clock.milliseconds()
        return message


class JobConsumer(Consumer):
    """Takes messages about jobs only while their folders can be seen from here."""

    def __next__(self) -> MessageProxy | None:
        if self.message_cache or self.broker.root.is_open():
            return super().__next__()
        with self._errors():
            self._rest()
        return None


class GatedConsumer(Consumer):
    """Fetches a message only when the host has a slot for it and no more urgent queue has one."""

    def __init__(self, broker: MessageSource, queue_name: str, timeout: int, gate: Gate) -> None:
        super().__init__(broker, queue_name, 1, timeout)
        self._gate = gate
        self._family = names.by_priority(names.bare(queue_name))
        self._more_urgent = self._family[: self._family.index(queue_name)]

    def __next__(self) -> MessageProxy | None:
        with self._errors():
            self._reclaim()
            fetched = self._fetch()
            if fetched is None:
                self._rest()
                return None
        message = Message.decode(fetched)
        self._gate.name_holder(f"{message.actor_name} of {names.job_of(message)} in process {os.getpid()}")
        self.queued_message_ids.add(message.message_id)
        return MessageProxy(message)

    def _fetch(self) -> bytes | None:
        """Fetch a message if there is a slot to run it in; the slot is kept only with a message."""
        if not self.broker.root.is_open() or self._is_outranked():
            return None
        if not self._gate.enter():
            self._gate.tell_holders(self.queue_name, lambda: self._waiting(self.queue_name))
            return None
        fetched: Any = None
        try:
            fetched = next(iter(self.broker.do_fetch(self.queue_name, 1)), None)
        finally:
            if fetched is None:
                self._gate.leave(served=False)
        return fetched if fetched is None else bytes(fetched)

    def _is_outranked(self) -> bool:
        if not self._more_urgent or self._gate.goes_first(self.queue_name):
            return False
        return any(self._waiting(queue) for queue in self._more_urgent)

    def _waiting(self, queue: str) -> int:
        return int(self.broker.client.llen(f"{self.broker.namespace}:{queue}"))

    # A message that can't be acknowledged now keeps the gate: Dramatiq goes on trying; nothing is fetched meanwhile.

    def ack(self, message: MessageProxy) -> None:
        super().ack(message)
        self._leave(served=True)

    def nack(self, message: MessageProxy) -> None:
        super().nack(message)
        self._leave(served=True)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        waiting = list(messages)
        super().requeue(waiting)
        if waiting:
            self._leave(served=False)

    def _leave(self, *, served: bool) -> None:
        self._gate.leave(served=served)
        self.broker.bell.wake(self._family)
