from __future__ import annotations

import time

import pytest

from core.queue import lease
from core.queue.lease import LeaseHeld

from .conftest import RedisServer


def test_one_holder_at_a_time(redis_server: RedisServer) -> None:
    with (
        lease.hold(redis_server.client, "j1.encode", 3),
        pytest.raises(LeaseHeld) as caught,
        lease.hold(redis_server.client, "j1.encode", 3),
    ):
        raise AssertionError("two holders")
    assert 0 < caught.value.seconds_left <= 3


def test_it_is_free_again_after_the_block(redis_server: RedisServer) -> None:
    with lease.hold(redis_server.client, "j1.encode", 3):
        pass

    with lease.hold(redis_server.client, "j1.encode", 3):
        pass


def test_it_is_kept_alive_for_longer_than_its_life(redis_server: RedisServer) -> None:
    with lease.hold(redis_server.client, "j1.encode", 0.4) as held:
        time.sleep(1.2)
        held.confirm()
        assert redis_server.client.get("amphipod:lease:j1.encode")


def test_a_lease_that_another_has_taken_is_lost(redis_server: RedisServer) -> None:
    with lease.hold(redis_server.client, "j1.encode", 3) as held:
        redis_server.client.set("amphipod:lease:j1.encode", "another")

        with pytest.raises(LeaseHeld):
            held.confirm()
    assert redis_server.client.get("amphipod:lease:j1.encode") == "another"


def test_a_lease_that_expired_while_nobody_wanted_it_is_taken_again(redis_server: RedisServer) -> None:
    with lease.hold(redis_server.client, "j1.encode", 3) as held:
        redis_server.client.delete("amphipod:lease:j1.encode")

        held.confirm()
        assert redis_server.client.get("amphipod:lease:j1.encode")


def test_a_dead_redis_loses_no_lease(redis_server: RedisServer) -> None:
    with lease.hold(redis_server.client, "j1.encode", 0.4) as held:
        redis_server.kill()
        time.sleep(1)

        held.confirm()
        redis_server.start()
