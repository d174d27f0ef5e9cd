"""Statements that wait: a Redis stream a lane, in the order in which they came.

A lane is served from its head by whoever holds its lease, and a statement leaves it only when it is settled. So the
statements of one lane go out one batch at a time, a batch that has to be tried again holds up its own lane only, and
what a killed worker had in hand is the head that the next one finds. A consumer group would hand neighbouring
statements to two workers, and the order per actor would be lost.

What Redis has no room for waits in a `Spool`; until that is read back, all that comes for the lane goes there too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from core import spool
from core.queues import NAMESPACE
from core.spool import Spool

if TYPE_CHECKING:
    import redis

#: A constant, so that all hosts put an actor on the same lane.
LANES = tuple(str(number) for number in range(8))

#: The lane of what can't be delivered, for a person to look at.
DEAD = "dead"

#: Seconds of one count of what was sent, and how many make the rate.
_BUCKET, _BUCKETS = 10, 6

_PUT = """
if redis.call('exists', KEYS[2]) == 1 or redis.call('xlen', KEYS[1]) + #ARGV - 1 > tonumber(ARGV[1]) then return 0 end
for i = 2, #ARGV do redis.call('xadd', KEYS[1], '*', 's', ARGV[i]) end
return 1
"""

#: A script's arguments lie on Lua's stack; this is far below its limit.
_PUT_AT_ONCE = 500


@dataclass(frozen=True)
class Entry:
    """One line of a lane."""

    key: str
    text: str

    @property
    def put_at(self) -> float:
        """When it was put, by Redis' clock."""
        return int(self.key.partition("-")[0]) / 1000


@dataclass(frozen=True)
class Head:
    """The first lines of a lane."""

    entries: list[Entry]
    #: Redis' time.
    clock: float
    #: More wait on disk.
    spooled: bool


class Outbox:
    """The lanes of one destination, or of the intake. Holds no state of its own."""

    def __init__(self, client: redis.Redis, name: str, folder: Path, limit: int) -> None:
        """Make the outbox `name`; `folder` is the jobs' root, `limit` what may wait in Redis."""
        self.client = client
        self.name = name
        self._folder = folder / "statements" / name
        self._limit = max(1, limit // len(LANES))

    def _key(self, lane: str) -> str:
        return f"{NAMESPACE}:statements:{self.name}:{lane}"

    def _spooled_key(self, lane: str) -> str:
        return f"{self._key(lane)}:spooled"

    def _spool(self, lane: str) -> Spool:
        return Spool(self._folder / lane)

    # Putting

    def put(self, lane: str, texts: Sequence[str]) -> None:
        """Append lines to a lane; on return they are in Redis or on disk."""
        for start in range(0, len(texts), _PUT_AT_ONCE):
            some = texts[start : start + _PUT_AT_ONCE]
            if not self._put_in_redis(lane, some):
                self._spool(lane).put(some)
                self.client.incrby(self._spooled_key(lane), len(some))

    def _put_in_redis(self, lane: str, texts: Sequence[str]) -> bool:
        from redis import OutOfMemoryError

        try:
            return bool(self.client.eval(_PUT, 2, self._key(lane), self._spooled_key(lane), str(self._limit), *texts))
        except OutOfMemoryError:
            return False

    def read_back(self, lane: str) -> None:
        """Move one file of the spool to its lane if there is room again. Call it with the lane's lease held."""
        if not self.client.exists(self._spooled_key(lane)):
            return
        spooled = self._spool(lane)
        for path in spooled.files():
            texts = spool.lines(path)
            if 0 < self.client.xlen(self._key(lane)) > self._limit - len(texts):
                return
            with self.client.pipeline(transaction=True) as pipe:
                for text in texts:
                    pipe.xadd(self._key(lane), {"s": text})
                pipe.decrby(self._spooled_key(lane), len(texts))
                pipe.execute()
            path.unlink()
            return
        self.client.delete(self._spooled_key(lane))
        self.find_spooled(lane)  # somebody put a file while the folder was looked at

    def find_spooled(self, lane: str) -> None:
        """Tell Redis again of what waits on disk, which it may have forgotten."""
        if waiting := len(self._spool(lane)):
            self.client.set(self._spooled_key(lane), waiting, nx=True)

    # Taking

    def head(self, lane: str, count: int) -> Head:
        with self.client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.xrange(self._key(lane), count=count)
            pipe.exists(self._spooled_key(lane))
            (seconds, microseconds), found, spooled = pipe.execute()
        entries = [Entry(key, fields["s"]) for key, fields in found]
        return Head(entries, seconds + microseconds / 1e6, bool(spooled))

    def occupied(self) -> list[str]:
        """Return the lanes in which something waits."""
        with self.client.pipeline(transaction=False) as pipe:
            for lane in LANES:
                pipe.xlen(self._key(lane))
                pipe.exists(self._spooled_key(lane))
            sizes = pipe.execute()
        return [lane for number, lane in enumerate(LANES) if any(sizes[2 * number : 2 * number + 2])]

    def settle(self, lane: str, keys: Sequence[str], **counts: int) -> None:
        """Take lines off a lane for good, and count what became of them."""
        with self.client.pipeline(transaction=True) as pipe:
            if keys:
                pipe.xdel(self._key(lane), *keys)
            for what, number in counts.items():
                if number:
                    pipe.hincrby(self._counts_key, what, number)
            if sent := counts.get("sent"):
                key = self._bucket_key(self._clock())
                pipe.incrby(key, sent)
                pipe.expire(key, _BUCKET * _BUCKETS * 2)
            pipe.execute()

    # What a person sees

    @property
    def _counts_key(self) -> str:
        return f"{NAMESPACE}:statements:{self.name}:counts"

    @property
    def _alarm_key(self) -> str:
        return f"{NAMESPACE}:statements:{self.name}:alarm"

    def _clock(self) -> int:
        return self.client.time()[0] // _BUCKET

    def _bucket_key(self, bucket: int) -> str:
        return f"{NAMESPACE}:statements:{self.name}:sent:{bucket}"

    def set_alarm(self, words: str) -> None:
        """Tell what keeps the store from taking statements; "" when nothing does."""
        self.client.set(self._alarm_key, words) if words else self.client.delete(self._alarm_key)

    def report(self) -> dict[str, Any]:
        """Return `{sent, retried, dropped, waiting, on_disk, dead, rate, alarm}`; the rate is per second."""
        bucket = self._clock()
        with self.client.pipeline(transaction=False) as pipe:
            for lane in (*LANES, DEAD):
                pipe.xlen(self._key(lane))
                pipe.get(self._spooled_key(lane))
            pipe.mget([self._bucket_key(bucket - age) for age in range(1, _BUCKETS + 1)])
            pipe.get(self._alarm_key)
            pipe.hgetall(self._counts_key)
            *sizes, buckets, alarm, counts = pipe.execute()
        in_redis, on_disk = sizes[:-2:2], [int(number or 0) for number in sizes[1:-2:2]]
        counted = cast("Mapping[str, str]", counts)
        return {
            "sent": int(counted.get("sent", 0)),
            "retried": int(counted.get("retried", 0)),
            "dropped": int(counted.get("dropped", 0)),
            "waiting": sum(in_redis) + sum(on_disk),
            "on_disk": sum(on_disk),
            "dead": sizes[-2] + int(sizes[-1] or 0),
            "rate": round(sum(int(number or 0) for number in buckets) / (_BUCKET * _BUCKETS), 1),
            "alarm": alarm or "",
        }
