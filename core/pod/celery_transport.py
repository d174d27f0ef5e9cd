"""kombu's Redis transport, but whatever lies on a queue comes out of it as a message.

kombu takes an item off its list before it reads it: one that is no JSON, or no message, is lost and ends the consumer.
Here such an item travels on in a message of its own, so that it is held unacknowledged like any other, and parked.
"""

from __future__ import annotations

import base64
import json
import uuid
import zlib
from typing import Any

from kombu.connection import Connection
from kombu.transport import redis
from kombu.utils.json import dumps, loads

#: Header that says why an item is no message.
FAULT = "amphipod-fault"

#: What kombu calls zlib's form; others take libraries that need not be here.
_ZLIB = ("application/x-gzip", "zlib")

#: Bytes of an item that are looked into; Esup-Pod's messages have some thousand.
_LARGEST = 16 << 20


class TolerantConnection(Connection):
    """A connection to a broker whose items are all messages."""

    def get_transport_cls(self) -> type[Any]:
        found: type[Any] = super().get_transport_cls()  # type: ignore[no-untyped-call]
        return _TRANSPORTS.get(found, found)


class _Tolerant:
    """For a channel of kombu's Redis transport."""

    sep: str
    Message: Any

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002  # kombu's
        client = super()._create_client(asynchronous)  # type: ignore[misc]
        popped = client.response_callbacks["BRPOP"]
        client.set_response_callback("BRPOP", lambda answer, **options: self._readable(popped(answer, **options)))
        return client

    def _readable(self, answer: tuple[bytes, bytes] | None) -> tuple[bytes, str] | None:
        """Return the answer to a BRPOP, its item as a message that kombu can read."""
        if not answer:
            return None
        key, item = answer
        queue = key.decode().rsplit(self.sep, 1)[0]
        try:
            return key, self._checked(item, queue)
        except Exception as error:  # noqa: BLE001  # whatever is wrong with it
            return key, _enclosed(item, queue, f"{type(error).__name__}: {error}")

    def _checked(self, item: bytes, queue: str) -> str:
        """Return an item as kombu will read it.

        Raises:
            Exception: kombu could not.
        """
        if len(item) > _LARGEST:
            raise ValueError(f"{len(item)} bytes are no message of Esup-Pod's")
        payload = loads(item.decode())  # type: ignore[no-untyped-call]
        # Where it goes back to when we die over it; there are consumers of no other place.
        payload["properties"]["delivery_info"] = {"exchange": "", "routing_key": queue}
        _unpack(payload)
        message = self.Message(payload, channel=self)
        if message.errors:
            raise message.errors[0][1]
        if not isinstance(message.delivery_tag, str) or not isinstance(message.body, str | bytes | None):
            raise TypeError("its tag or its body is no text")
        message.headers.get("id")
        return str(dumps(payload))  # type: ignore[no-untyped-call]


def _unpack(payload: dict[str, Any]) -> None:
    """Unpack a body that Celery was set to pack, but no further than a message may be long: kombu has no limit.

    Raises:
        ValueError: it unfolds further, or is packed in another way.
    """
    kind = payload["headers"].pop("compression", None)
    if kind is None:
        return
    if kind not in _ZLIB:
        raise ValueError(f"packed as {kind!r:.100}")
    unpacker = zlib.decompressobj()
    body = unpacker.decompress(base64.b64decode(payload["body"]), _LARGEST)
    if not unpacker.eof:
        raise ValueError(f"its body is cut off, or unfolds to more than {_LARGEST} bytes")
    payload["body"] = base64.b64encode(body).decode()


def _enclosed(item: bytes, queue: str, fault: str) -> str:
    return json.dumps(
        {
            "body": base64.b64encode(item).decode(),
            "content-type": "application/octet-stream",
            "content-encoding": "binary",
            "headers": {FAULT: fault[:1000]},
            "properties": {
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
                "delivery_info": {"exchange": "", "routing_key": queue},
            },
        }
    )


class _Channel(_Tolerant, redis.Channel):
    pass


class _Transport(redis.Transport):
    Channel = _Channel


class _SentinelChannel(_Tolerant, redis.SentinelChannel):
    pass


class _SentinelTransport(redis.SentinelTransport):
    Channel = _SentinelChannel


_TRANSPORTS = {redis.Transport: _Transport, redis.SentinelTransport: _SentinelTransport}
