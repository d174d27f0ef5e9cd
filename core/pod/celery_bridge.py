"""Receives Esup-Pod's Celery messages in place of its workers, or beside them during a migration.

A message is acknowledged only after its job is stored and enqueued; one that a dead bridge held comes back after
`bridge_seconds`, and becomes the same job. kombu and not Celery: a Celery worker acknowledges before it works
unless told otherwise, and brings much that a receiver of messages doesn't need.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from kombu.entity import Exchange, Queue
from kombu.mixins import ConsumerMixin

from core.errors import OutOfReach
from core.pod.celery_messages import reason_of, take
from core.pod.celery_transport import FAULT, TolerantConnection
from core.pod.parking import Message, park
from core.settings import Settings

#: Messages that are held unacknowledged at a time.
_PREFETCH = 10

#: Times that a message is tried before it is parked, `retry_seconds` apart.
_TRIES = 3

_log = structlog.get_logger()


def transport_options(settings: Settings) -> Mapping[str, Any]:
    """Return options of kombu's Redis transport.

    Its `unacked` keys are common to a whole database: with Celery's own, our short patience would hand out again what
    Pod's Celery workers are still at.
    """
    look_every = max(settings.bridge_seconds / 6, 1)
    return {
        "visibility_timeout": settings.bridge_seconds,
        "unacked_restore_interval": look_every,
        "unacked_restore_throttle": 1,
        "unacked_key": "amphipod.unacked",
        "unacked_index_key": "amphipod.unacked_index",
        "unacked_mutex_key": "amphipod.unacked_mutex",
        "unacked_mutex_expire": round(settings.bridge_seconds),
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
    }


class Bridge(ConsumerMixin):
    """Serves queues of one broker in a thread of its own."""

    def __init__(self, url: str, queues: Sequence[str], settings: Settings) -> None:
        self.connection = TolerantConnection(url, transport_options=dict(transport_options(settings)))
        self._queues = queues
        self._settings = settings
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"bridge {','.join(queues)}", daemon=True)

    def start(self) -> None:
        """Connect, then begin.

        Raises:
            OutOfReach: the broker does not answer.
        """
        try:
            self.connection.ensure_connection(max_retries=1, timeout=10)
        except self.connection.recoverable_connection_errors as error:
            raise OutOfReach(
                f"Esup-Pod's broker {self.connection.as_uri()} does not answer ({error})",
                remedy="start it, or check ENCODING_TRANSCODING_CELERY_BROKER_URL and XAPI_CELERY_BROKER_URL",
            ) from error
        self._thread.start()

    def stop(self) -> None:
        self.should_stop = True
        self._stopping.set()
        self._thread.join(10)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def get_consumers(self, Consumer: Any, channel: Any) -> list[Any]:  # noqa: N803, ARG002  # kombu's names
        declared = [Queue(name, Exchange(name, type="direct"), routing_key=name) for name in self._queues]
        return [Consumer(declared, on_message=self._receive, prefetch_count=_PREFETCH)]

    def on_consume_ready(self, *_args: Any, **_kwargs: Any) -> None:
        _log.info("bridge serves", queues=list(self._queues), broker=self.connection.as_uri())

    def on_connection_error(self, exc: Exception, interval: float) -> None:
        _log.warning("Esup-Pod's broker is waited for", reason=str(exc), next_try=interval)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Park it; kombu would drop it."""
        self._receive(message, fault=f"{type(exc).__name__}: {exc}")

    def _serve(self) -> None:
        """Consume until we are to stop: whatever happens, the bridge connects anew."""
        while not self.should_stop:
            try:
                self.run()
            except Exception:  # noqa: BLE001  # nobody would start this thread again
                _log.exception("unexpected fault; the bridge connects anew", queues=list(self._queues))
                self._stopping.wait(self._settings.retry_seconds)

    def _receive(self, received: Any, fault: str = "") -> None:
        headers = received.headers or {}
        body = received.body or b""
        message = Message(
            queue=str(received.delivery_info.get("routing_key") or ""),
            headers=headers,
            body=body if isinstance(body, str) else bytes(body).decode(errors="surrogateescape"),
            fault=fault or str(headers.get(FAULT, "")),
        )
        if self._dispose(message):
            received.ack()

    def _dispose(self, message: Message) -> bool:
        """Take a message or park it, however long our Redis or disk is away; False when the bridge stops before that.

        Only an outage is waited out. Any other fault is the message's until the contrary is shown: the next one may do.
        """
        tries = 0
        while not self.should_stop:
            try:
                take(message, self._settings)
                return True
            except OutOfReach as error:
                _log.warning("message waits", task_id=message.id, reason=str(error))
            except Exception as error:  # noqa: BLE001  # the message is not lost: it is tried again, then kept
                tries += 1
                _log.warning("message waits", task_id=message.id, reason=reason_of(error), tries=tries, exc_info=True)
                if tries >= _TRIES and self._park(message, error):
                    return True
            self._stopping.wait(self._settings.retry_seconds)
        return False

    def _park(self, message: Message, error: Exception) -> bool:
        """Keep a message for a person; where that fails too, our disk is at fault and not the message."""
        try:
            park(message, f"{reason_of(error)} (tried {_TRIES} times)", self._settings)
        except Exception as obstacle:  # noqa: BLE001  # it waits, and is shown
            _log.error("message waits: it can be neither taken nor parked", task_id=message.id, reason=str(obstacle))
            return False
        return True
