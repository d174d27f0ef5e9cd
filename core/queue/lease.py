"""One live run of a step, and one live publish into a folder, at a time.

A lease saves work and decides nothing: the link in core/storage/commit.py does. Its time is Redis' own clock.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import structlog

from core.errors import AmphipodError
from core.redis import scripts
from core.redis.keys import NAMESPACE

if TYPE_CHECKING:
    import redis

#: Of a lease's life, the part after which it is renewed.
_RENEW_AFTER = 0.25

#: Renew ours, take it if nobody has it (it expired while Redis or we were away), leave another's.
_RENEW = """
local holder = redis.call('get', KEYS[1])
if holder == ARGV[1] then redis.call('pexpire', KEYS[1], ARGV[2]) return 1 end
if not holder then redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1 end
return 0
"""

_TAKE = "return redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])"

_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"

_log = structlog.get_logger()


def name_of(job: str, step: str, part: str = "") -> str:
    """Return the name of the lease that whoever works on a step, or a part of it, holds."""
    return f"{job}.{step}.{part}" if part else f"{job}.{step}"


def held(client: redis.Redis, names: Iterable[str]) -> set[str]:
    """Return those of the leases that somebody alive holds, in one request."""
    wanted = list(names)
    holders = client.mget([f"{NAMESPACE}:lease:{name}" for name in wanted]) if wanted else []
    return {name for name, holder in zip(wanted, holders, strict=True) if holder}


class LeaseHeld(AmphipodError):
    """Somebody alive holds it; `seconds_left` says for how long at least."""

    def __init__(self, name: str, seconds_left: float) -> None:
        super().__init__(f"{name} is held by another worker")
        self.seconds_left = seconds_left


class Lease:
    """A lease that this process holds, kept alive by a thread."""

    def __init__(self, client: redis.Redis, name: str, seconds: float) -> None:
        self._client = client
        self._name = name
        self._seconds = seconds
        self._token = secrets.token_hex(16)
        self._released = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._keep, name=f"lease {name}", daemon=True)

    @property
    def _key(self) -> str:
        return f"{NAMESPACE}:lease:{self._name}"

    def take(self) -> None:
        """Take the lease now.

        Raises:
            LeaseHeld
        """
        milliseconds = round(self._seconds * 1000)
        if not scripts.run(self._client, _TAKE, [self._key], self._token, milliseconds):
            raise self._held()
        self._thread.start()

    def _held(self) -> LeaseHeld:
        left = self._client.pttl(self._key)
        return LeaseHeld(self._name, max(float(left), 0.0) / 1000)

    def check(self) -> None:
        """Raise `LeaseHeld` if another worker has taken over; being cut off from Redis is no loss."""
        if self._lost:
            raise LeaseHeld(self._name, self._seconds)

    def confirm(self) -> None:
        """Renew the lease now, then `check`: for the moment before a commit."""
        self._renew()
        self.check()

    def _renew(self) -> None:
        from redis import RedisError

        try:
            milliseconds = round(self._seconds * 1000)
            if not scripts.run(self._client, _RENEW, [self._key], self._token, milliseconds):
                self._lost = True
        except RedisError as error:
            _log.warning("lease not renewed", lease=self._name, reason=str(error))

    def _keep(self) -> None:
        while not self._lost and not self._released.wait(self._seconds * _RENEW_AFTER):
            self._renew()

    def release(self) -> None:
        from redis import RedisError

        self._released.set()
        self._thread.join()
        with contextlib.suppress(RedisError):  # it expires by itself
            scripts.run(self._client, _RELEASE, [self._key], self._token)


@contextlib.contextmanager
def hold(client: redis.Redis, name: str, seconds: float) -> Iterator[Lease]:
    """Hold the lease `name` for the block.

    Raises:
        LeaseHeld: another worker has it.
    """
    lease = Lease(client, name, seconds)
    lease.take()
    try:
        yield lease
    finally:
        lease.release()
