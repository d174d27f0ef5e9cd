"""Statements that wait: a Redis stream a partition, in the order in which they came.

A partition is served from its head by whoever holds its lease, and a statement leaves it only when it is settled. So
the statements of one partition go out one batch at a time, a batch that has to be tried again holds up its own
partition only, and what a killed worker had in hand is the head that the next one finds. A consumer group would hand
neighbouring statements to two workers, and the order per actor would be lost.

What Redis has no room for waits in a `Spool`; until that is read back, all that comes for the partition goes there too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from core.redis import scripts
from core.redis.keys import NAMESPACE
from core.statements import spool
from core.statements.spool import Spool

if TYPE_CHECKING:
    import redis

#: A constant, so that all hosts put an actor on the same partition.
PARTITIONS = tuple(str(number) for number in range(8))

#: Folder of all outboxes, in the jobs' root.
FOLDER = "statements"

#: Folder of what can't be delivered, beside those of the partitions.
_DEAD = "dead"

#: Seconds of one count of what was sent, and how many make the rate.
_BUCKET, _BUCKETS = 10, 6

_PUT = """
if redis.call('exists', KEYS[2]) == 1 or redis.call('xlen', KEYS[1]) + #ARGV - 1 > tonumber(ARGV[1]) then return 0 end
for i = 2, #ARGV do redis.call('xadd', KEYS[1], '*', 's', ARGV[i]) end
return 1
"""

_READ_BACK = "for i = 1, #ARGV do redis.call('xadd', KEYS[1], '*', 's', ARGV[i]) end"

_SETTLE = """
if #ARGV > 5 then redis.call('xdel', KEYS[1], unpack(ARGV, 6)) end
for i, what in ipairs({'sent', 'retried'}) do
    if tonumber(ARGV[i]) > 0 then redis.call('hincrby', KEYS[2], what, ARGV[i]) end
end
if tonumber(ARGV[1]) > 0 then redis.call('incrby', KEYS[3], ARGV[1]) redis.call('expire', KEYS[3], ARGV[3]) end
if ARGV[5] == '' then redis.call('hdel', KEYS[4], ARGV[4]) else redis.call('hset', KEYS[4], ARGV[4], ARGV[5]) end
"""

#: A script's arguments lie on Lua's stack; this is far below its limit.
PUT_AT_ONCE = 500


#: As Redis answers them: key, and the text as its field `s`.
Lines = Sequence[tuple[str, Mapping[str, str]]]


@dataclass(frozen=True)
class Entry:
    """One line of a partition."""

    key: str
    text: str

    @property
    def put_at(self) -> float:
        """When it was put, by Redis' clock."""
        return int(self.key.partition("-")[0]) / 1000


@dataclass(frozen=True)
class Head:
    """The first lines of a partition."""

    entries: list[Entry]
    #: Redis' time.
    clock: float
    #: More wait on disk.
    spooled: bool


class Outbox:
    """The partitions of one destination, or of the intake. Holds no state of its own."""

    def __init__(
        self, client: redis.Redis, name: str, folder: Path, limit: int, overflow_mode: int = spool.OWN
    ) -> None:
        """Make the outbox `name`; `folder` is the jobs' root, `limit` what may wait in Redis.

        `overflow_mode` is that of the files that what Redis has no room for waits in.
        """
        self._mode = overflow_mode
        self.client = client
        self.name = name
        self._folder = folder / FOLDER / name
        self._limit = max(1, limit // len(PARTITIONS))

    def _key(self, partition: str) -> str:
        return f"{NAMESPACE}:statements:{self.name}:{partition}"

    def _spooled_key(self, partition: str) -> str:
        return f"{self._key(partition)}:spooled"

    def _spool(self, partition: str) -> Spool:
        return Spool(self._folder / partition, self._mode)

    @property
    def dead(self) -> Spool:
        """What can't be delivered, for a person to look at: on disk only, where no loss of Redis reaches it."""
        return Spool(self._folder / _DEAD)

    # Putting

    def put(self, partition: str, texts: Sequence[str]) -> None:
        """Append lines to a partition; on return they are in Redis or on disk."""
        for start in range(0, len(texts), PUT_AT_ONCE):
            some = texts[start : start + PUT_AT_ONCE]
            if not self._put_in_redis(partition, some):
                self._put_on_disk(partition, some)

    def _put_on_disk(self, partition: str, texts: Sequence[str]) -> None:
        from redis import RedisError

        self._spool(partition).put(texts)
        with suppress(RedisError):  # workers look at the disk, too
            self._tell_spooled(partition)

    def _put_in_redis(self, partition: str, texts: Sequence[str]) -> bool:
        from redis import OutOfMemoryError

        try:
            return bool(
                self.client.eval(_PUT, 2, self._key(partition), self._spooled_key(partition), str(self._limit), *texts)
            )
        except OutOfMemoryError:
            return False

    def read_back(self, partition: str) -> None:
        """Move one file of the spool to its partition if there is room again. Call it with the lease held."""
        if not self.client.exists(self._spooled_key(partition)):
            return
        spooled = self._spool(partition)
        for path in spooled.files():
            texts = spool.lines(path)
            waiting = self.client.xlen(self._key(partition))
            fits = waiting <= self._limit - len(texts)
            if (fits or not waiting) and self._read_into(partition, texts, at_the_limit=not waiting):
                path.unlink()
            return
        self.client.delete(self._spooled_key(partition))
        self.find_spooled(partition)  # somebody put a file while the folder was looked at

    def _read_into(self, partition: str, texts: Sequence[str], *, at_the_limit: bool) -> bool:
        """Append what was on disk. Into an empty partition even at Redis' limit, or it would never move."""
        from redis import OutOfMemoryError

        try:
            if at_the_limit:
                scripts.run(self.client, _READ_BACK, [self._key(partition)], *texts)
            else:
                self.client.eval(_READ_BACK, 1, self._key(partition), *texts)
        except OutOfMemoryError:
            return False
        return True

    def find_spooled(self, partition: str) -> None:
        """Tell Redis again of what waits on disk, which it may have forgotten, or never have heard of."""
        if self._spool(partition):
            self._tell_spooled(partition)

    def _tell_spooled(self, partition: str) -> None:
        scripts.run(self.client, "redis.call('set', KEYS[1], 1)", [self._spooled_key(partition)])

    # Taking

    def head(self, partition: str, count: int) -> Head:
        with self.client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.xrange(self._key(partition), count=count)
            pipe.exists(self._spooled_key(partition))
            (seconds, microseconds), found, spooled = pipe.execute()
        entries = [Entry(key, fields["s"]) for key, fields in found]
        return Head(entries, seconds + microseconds / 1e6, bool(spooled))

    def occupied(self) -> list[str]:
        """Return the partitions in which something waits."""
        with self.client.pipeline(transaction=False) as pipe:
            for partition in PARTITIONS:
                pipe.xlen(self._key(partition))
                pipe.exists(self._spooled_key(partition))
            sizes = pipe.execute()
        return [partition for number, partition in enumerate(PARTITIONS) if any(sizes[2 * number : 2 * number + 2])]

    def settle(self, partition: str, keys: Sequence[str], *, sent: int = 0, retried: int = 0, alarm: str = "") -> None:
        """Take lines off a partition for good, count what became of them, and say what keeps the next ones here."""
        bucket = self._bucket_key(self._clock()) if sent else self._counts_key
        names = [self._key(partition), self._counts_key, bucket, self._alarms_key]
        scripts.run(self.client, _SETTLE, names, sent, retried, _BUCKET * _BUCKETS * 2, partition, alarm, *keys)

    def count_dropped(self, number: int) -> None:
        """Count statements that a plugin keeps from this store."""
        script = "redis.call('hincrby', KEYS[1], 'dropped', ARGV[1])"
        scripts.run(self.client, script, [self._counts_key], number)

    def sent(self) -> int:
        """Return how many statements the store has taken, from whichever worker."""
        return int(self.client.hget(self._counts_key, "sent") or 0)

    def take_out(self, partition: str, is_meant: Callable[[str], bool]) -> int:
        """Remove for good what waits and is meant, on disk and in Redis. Call it with the lease held."""
        spooled, removed = self._spool(partition), 0
        for path in list(spooled.files()):
            texts = spool.lines(path)
            if len(kept := [text for text in texts if not is_meant(text)]) < len(texts):
                spooled.keep(path, kept)
                removed += len(texts) - len(kept)
        keys = [key for key, fields in self._lines(partition) if is_meant(fields["s"])]
        for start in range(0, len(keys), PUT_AT_ONCE):
            self.client.xdel(self._key(partition), *keys[start : start + PUT_AT_ONCE])
        return removed + len(keys)

    def _lines(self, partition: str) -> Iterator[tuple[str, Mapping[str, str]]]:
        after = "-"
        while found := cast("Lines", self.client.xrange(self._key(partition), min=after, count=PUT_AT_ONCE)):
            yield from found
            after = f"({found[-1][0]}"

    # What a person sees

    @property
    def _counts_key(self) -> str:
        return f"{NAMESPACE}:statements:{self.name}:counts"

    @property
    def _alarms_key(self) -> str:
        return f"{NAMESPACE}:statements:{self.name}:alarms"

    def _clock(self) -> int:
        return self.client.time()[0] // _BUCKET

    def _bucket_key(self, bucket: int) -> str:
        return f"{NAMESPACE}:statements:{self.name}:sent:{bucket}"

    def report(self) -> dict[str, Any]:
        """Return `{sent, retried, dropped, waiting, on_disk, dead, rate, alarm}`; the rate is per second."""
        bucket = self._clock()
        with self.client.pipeline(transaction=False) as pipe:
            for partition in PARTITIONS:
                pipe.xlen(self._key(partition))
            pipe.mget([self._bucket_key(bucket - age) for age in range(1, _BUCKETS + 1)])
            pipe.hvals(self._alarms_key)
            pipe.hgetall(self._counts_key)
            *in_redis, buckets, alarms, counts = pipe.execute()
        on_disk = sum(len(self._spool(partition)) for partition in PARTITIONS)
        counted = cast("Mapping[str, str]", counts)
        return {
            "sent": int(counted.get("sent", 0)),
            "retried": int(counted.get("retried", 0)),
            "dropped": int(counted.get("dropped", 0)),
            "waiting": sum(in_redis) + on_disk,
            "on_disk": on_disk,
            "dead": len(self.dead),
            "rate": round(sum(int(number or 0) for number in buckets) / (_BUCKET * _BUCKETS), 1),
            "alarm": "; ".join(sorted(set(alarms))),
        }
