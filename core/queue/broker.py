"""Dramatiq's broker as we need it: on Redis, one heavy message a slot, nothing forgotten when Redis restarts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import redis
import structlog
from dramatiq import Message, MessageProxy
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import dq_name
from dramatiq.errors import ActorNotFound

from core.queue import names
from core.queue.bell import Bell
from core.queue.consumers import Consumer, DelayedConsumer, GatedConsumer, JobConsumer, broker_error
from core.queue.messages import Unreadable, decode
from core.queue.slots import Gate
from core.redis import connection
from core.redis.clock import RedisClock
from core.redis.keys import NAMESPACE
from core.redis.shared_root import RootWatch
from core.settings import Settings

if TYPE_CHECKING:
    from dramatiq import Actor
    from dramatiq.middleware import Middleware

#: Chance, in a million, that a command also runs Dramatiq's maintenance, which frees dead workers' messages: always.
#: Its default finds them after 723 s on average; what a look costs can't be measured.
_MAINTENANCE = 1_000_000

#: Messages that go to Redis in one request.
_BATCH = 500

#: Characters of a message that can't be read that the log gets.
_SHOWN = 200

_log = structlog.get_logger()


def connect(settings: Settings, middleware: Sequence[Middleware] = (), heavy: Iterable[str] = ()) -> Broker:
    """Return the broker; nothing is sent until it is used.

    :param heavy: bare names of the queues that a message is fetched from only when this host has a slot for it.
    """
    return Broker(settings, middleware, heavy)


class Broker(RedisBroker):
    """A RedisBroker that a bare `dramatiq core.actors` can use without harm.

    Dramatiq's prefetch is read before our code is loaded and hoards messages; here heavy queues hold one message a
    slot of the host, light ones as many as there are threads, deliveries half of that. Whatever depends on the time
    of day goes by Redis' clock.
    """

    def __init__(self, settings: Settings, middleware: Sequence[Middleware], heavy: Iterable[str]) -> None:
        super().__init__(
            url=connection.url(settings),
            namespace=NAMESPACE,
            middleware=list(middleware),
            maintenance_chance=_MAINTENANCE,
            heartbeat_timeout=round(settings.heartbeat_seconds * 1000),
        )
        self.address = settings.broker_url
        self.clock = RedisClock(self.client)
        self.bell = Bell(connection.client(settings), f"{NAMESPACE}:bell")
        self.root = RootWatch(settings, connection.client(settings))
        self._gates = {queue: Gate(queue, settings.run_dir, settings.slots) for queue in heavy}
        #: By queue, the ids in Redis of the messages that this process has taken and not settled.
        self._in_hand: dict[str, set[str]] = {}
        #: Set when a worker boots.
        self.worker_threads = 1

    def get_actor(self, actor_name: str) -> Actor[Any, Any]:
        """Return an actor; for a step that no plugin here brings, the one that leaves it to other hosts."""
        try:
            return super().get_actor(actor_name)
        except ActorNotFound:
            if names.UNKNOWN_STEP in self.actors and names.is_step(actor_name):
                return self.actors[names.UNKNOWN_STEP]
            raise

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        gate = self._gates.get(names.bare(queue_name))
        if names.is_delayed(queue_name):
            # A new consumer remembers none of the delayed messages that the last one held when its connection broke.
            self._in_hand.pop(queue_name, None)
        try:
            self.reclaim(queue_name)
        except redis.RedisError as error:
            raise broker_error(error, self.address) from None
        if names.is_delayed(queue_name):
            return DelayedConsumer(self, queue_name, prefetch, timeout)
        if gate is None:
            kind = JobConsumer if names.is_of_jobs(queue_name) else Consumer
            return kind(self, queue_name, min(prefetch, self._threads_for(queue_name)), timeout)
        return GatedConsumer(self, queue_name, timeout, gate)

    def _threads_for(self, queue_name: str) -> int:
        """Return how many threads the messages of a light queue may keep busy.

        A portal may take minutes to answer: deliveries leave half of the threads to what publishes.
        """
        return max(1, self.worker_threads // 2) if queue_name == names.DELIVERIES else self.worker_threads

    @property
    def threads_for_destination(self) -> int:
        """How many deliveries to one and the same host may be under way: half of all, so that others are told too."""
        return max(1, self._threads_for(names.DELIVERIES) // 2)

    def do_fetch(self, queue_name: str, count: int) -> list[bytes]:
        """Take messages from Redis: those that can be read. What can't goes to the dead letters."""
        while True:
            found: list[bytes | None] = self._run(None, "fetch", queue_name, count)
            messages = {data: message for data in found if data and (message := _readable(data, queue_name))}
            self._in_hand.setdefault(queue_name, set()).update(map(_id, messages.values()))
            if len(messages) < len(found):
                with suppress(redis.RedisError):  # the next look finds it, and what was read must not be forgotten
                    self.reclaim(queue_name)
            if messages or not found:  # after what nobody can read Dramatiq would rest
                return list(messages)

    def let_go(self, queue_name: str, messages: Iterable[MessageProxy]) -> None:
        """Note that Redis knows of messages that this process has no more to do with them."""
        self._in_hand.get(queue_name, set()).difference_update(map(_id, messages))

    def reclaim(self, queue_name: str) -> None:
        """Put back what Redis has given to this process and this process does not have, or set it aside.

        An answer of Redis is lost with its connection, and as long as this process lives nobody else gets what it said.
        """
        held = cast("set[bytes]", self.client.smembers(f"{self.namespace}:__acks__.{self.broker_id}.{queue_name}"))
        for name in {one.decode(errors="replace") for one in held} - self._in_hand.get(queue_name, set()):
            data = cast("bytes | None", self.client.hget(f"{self.namespace}:{queue_name}.msgs", name))
            if data is None:
                self.do_ack(queue_name, name)
                continue
            try:
                if _id(decode(data, queue_name)) != name:
                    raise Unreadable("it lies under another id than its own")
                self.do_requeue(queue_name, name)
            except Unreadable as error:
                _log.error(
                    "a message can't be read: set aside as dead; see `amphipod dead`",
                    queue=queue_name,
                    reason=str(error),
                    message=repr(data[:_SHOWN]),
                )
                self.do_nack(queue_name, name)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Enqueue a message, for `delay` milliseconds from now.

        Raises:
            Refused, Forbidden: Redis does not take it.
        """
        return self.enqueue_all([message], delay=delay)[0]

    def enqueue_all(self, messages: Iterable[Message[Any]], *, delay: int | None = None) -> list[Message[Any]]:
        """Enqueue many messages, some hundreds in a request."""
        try:
            ready = [self._prepared(message, delay) for message in messages]
            for first in range(0, len(ready), _BATCH):
                batch = ready[first : first + _BATCH]
                for message in batch:
                    self.emit_before("enqueue", message, delay)
                self._put(batch)
                for message in batch:
                    self.emit_after("enqueue", message, delay)
        except redis.RedisError as error:
            raise broker_error(error, self.address) from None
        return ready

    def _put(self, batch: Sequence[Message[Any]]) -> None:
        if brought := {names.bare(message.queue_name) for message in batch}.difference(names.BUILT_IN):
            self.client.sadd(names.BROUGHT, *sorted(brought))
        calls = [(message.queue_name, message.options["redis_message_id"], message.encode()) for message in batch]
        if len(calls) == 1:  # a pipeline asks first whether Redis knows the script
            self.do_enqueue(*calls[0])
        else:
            with self.client.pipeline(transaction=False) as pipe:
                for call in calls:
                    self._run(pipe, "enqueue", *call)
                pipe.execute()
        self.bell.ring({message.queue_name for message in batch})

    def _prepared(self, message: Message[Any], delay: int | None) -> Message[Any]:
        """Give a message its id in Redis, and its time if it is delayed, as Dramatiq does."""
        options: dict[str, Any] = {"redis_message_id": str(uuid4())}
        if delay is None:
            return message.copy(options=options)
        options["eta"] = self.clock.milliseconds() + delay
        return message.copy(queue_name=dq_name(message.queue_name), options=options)

    def _dispatch(self, command: str) -> Callable[..., Any]:
        """As Dramatiq's, by Redis' clock: a host whose own is ahead would take all others for dead."""

        def dispatch(queue_name: str, *arguments: Any) -> Any:
            return self._run(None, command, queue_name, *arguments)

        return dispatch

    def _run(self, client: Any, command: str, queue_name: str, *arguments: Any) -> Any:
        known: list[Any] = [command, self.clock.milliseconds(), queue_name, self.broker_id]
        limits = [self.heartbeat_timeout, self.dead_message_ttl, self._should_do_maintenance(command)]
        return self.scripts["dispatch"](
            keys=[self.namespace], args=[*known, *limits, self._max_unpack_size(), *arguments], client=client
        )


def _readable(data: bytes, queue_name: str) -> Message[Any] | None:
    try:
        return decode(data, queue_name)
    except Unreadable:  # the next look says why, and sets it aside
        return None


def _id(message: Message[Any] | MessageProxy) -> str:
    """Return a message's id in Redis."""
    return str(message.options["redis_message_id"])
