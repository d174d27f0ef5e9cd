"""Tells consumers at once that a message has come for them, so that none has to look for it often.

Nothing depends on it: who can't hear it, for want of a right to Redis' channels or of a connection, looks for messages
as often as without it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from contextlib import suppress

import redis

#: Seconds for which the listener waits for a ring, and after which it tries again where Redis is away.
_LISTENS, _AGAIN = 5.0, 1.0


class Bell:
    """Rings over a channel of Redis; the first consumer that waits lets the process listen, in a thread of its own.

    :param client: of Redis, with decoded answers.
    """

    def __init__(self, client: redis.Redis, channel: str) -> None:
        self._client = client
        self._channel = channel
        self._lock = threading.Lock()
        self._listener: threading.Thread | None = None
        #: By queue, for those that consumers of this process wait for.
        self._rung: dict[str, threading.Event] = {}

    def ring(self, queues: Iterable[str]) -> None:
        """Tell every process that listens that something was put into these queues."""
        with suppress(redis.RedisError):
            self._client.publish(self._channel, " ".join(sorted(queues)))

    def wake(self, queues: Iterable[str]) -> None:
        """Let the consumers of these queues in this process look again."""
        for queue in queues:
            if rung := self._rung.get(queue):
                rung.set()

    def wait(self, queue: str, seconds: float) -> bool:
        """Wait until it rings for a queue, so many seconds at most; tells whether it rang."""
        self._listen()
        rung = self._rung.setdefault(queue, threading.Event())
        heard = rung.wait(seconds)
        rung.clear()
        return heard

    def _listen(self) -> None:
        with self._lock:
            if self._listener is None or not self._listener.is_alive():
                self._listener = threading.Thread(target=self._hear, name="bell", daemon=True)
                self._listener.start()

    def _hear(self) -> None:
        while True:
            with suppress(redis.RedisError), self._client.pubsub() as channel:  # type: ignore[no-untyped-call]
                channel.subscribe(self._channel)
                while True:
                    message = channel.get_message(timeout=_LISTENS)
                    if message and message["type"] == "subscribe":
                        self.wake(list(self._rung))  # for what rang while nobody listened
                    elif message:
                        self.wake(message["data"].split())
            time.sleep(_AGAIN)
