"""Time, injected."""

import time

from hypothesis import given
from hypothesis import strategies as st

from appliance.clock import FixedClock, SystemClock, iso


def test_the_system_clock_counts_microseconds_since_the_epoch() -> None:
    before = time.time_ns()
    now = SystemClock().wall_us()
    assert before // 1_000 <= now <= time.time_ns() // 1_000


def test_a_fixed_clock_moves_only_when_it_is_moved() -> None:
    clock = FixedClock(1_000)
    assert clock.wall_us() == clock.wall_us() == 1_000
    clock.advance(1.5)
    assert clock.wall_us() == 1_501_000
    clock.advance(-1)
    assert clock.wall_us() == 501_000


def test_iso_is_utc_to_the_second() -> None:
    assert iso(0) == "1970-01-01T00:00:00Z"
    assert iso(1_764_000_000_999_999) == "2025-11-24T16:00:00Z"


@given(st.integers(0, 4_102_444_800_000_000), st.integers(0, 4_102_444_800_000_000))
def test_iso_sorts_like_the_time(first: int, second: int) -> None:
    early, late = sorted((first, second))
    assert iso(early) <= iso(late)
