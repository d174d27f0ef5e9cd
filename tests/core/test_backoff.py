"""Whoever waits before another try asks one function, which no number of failures and no header can upset."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import backoff
from core.statements.circuit_breaker import Breaker

SECONDS = st.floats(min_value=1e-3, max_value=1e6)


@given(st.integers(-1, 10**9), SECONDS, SECONDS, st.none() | st.floats())
def test_no_pause_is_longer_than_the_longest(failures: int, first: float, longest: float, asked: float | None) -> None:
    pause = backoff.pause(failures, first=first, longest=longest, asked=asked)

    assert 0 < pause <= longest


@given(st.integers(1, 40), st.floats(min_value=1e-3, max_value=100))
def test_a_pause_doubles_and_has_jitter(failures: int, first: float) -> None:
    pause = backoff.pause(failures, first=first, longest=math.inf)

    assert 0.5 <= pause / (first * 2 ** (failures - 1)) <= 1


@given(st.integers(1, 10_000), st.floats(min_value=100, max_value=1000))
def test_what_the_other_side_asks_for_is_granted_as_far_as_the_longest(failures: int, asked: float) -> None:
    assert backoff.pause(failures, first=1, longest=1000, asked=asked) >= asked
    assert backoff.pause(failures, first=1, longest=60, asked=asked) == 60


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("9" * 400, 999_999_999_999_999_999.0),
        ("Thu, 26 Nov 2026 10:01:30 GMT", 90.0),
        ("Thu, 26 Nov 2020 10:01:30 GMT", 0.0),
        ("²", None),
        ("-1", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_a_retry_after_is_seconds_or_a_moment_by_the_answers_own_clock(header: str | None, seconds: float) -> None:
    assert backoff.retry_after(header, "Thu, 26 Nov 2026 10:00:00 GMT") == seconds


def test_a_store_that_has_failed_thousands_of_times_is_still_asked() -> None:
    breaker = Breaker(longest=0.001)
    for _ in range(3000):
        breaker.leave("0", failed=True, after=1e9)

    time.sleep(0.002)

    assert breaker.enter("0")
