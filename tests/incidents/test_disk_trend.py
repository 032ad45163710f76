"""When a disk will be full."""

import pytest

from appliance.incidents.disk_trend import DiskTrend

GIB = 1 << 30


def seen(minutes: int, a_minute: int, free: int = 100 * GIB) -> DiskTrend:
    trend = DiskTrend()
    for minute in range(minutes):
        trend.note(60.0 * minute, free - minute * a_minute)
    return trend


def test_a_disk_that_fills_has_its_time() -> None:
    left = seen(121, GIB // 10).seconds_to(4 * GIB)
    assert left == pytest.approx((100 - 12 - 4) * 10 * 60, rel=0.01)


@pytest.mark.parametrize("a_minute", [0, -(1 << 20)])
def test_one_that_does_not_fill_has_none(a_minute: int) -> None:
    assert seen(121, a_minute).seconds_to(4 * GIB) is None


def test_an_hour_of_looks_is_needed_and_a_day_is_kept() -> None:
    assert seen(59, GIB).seconds_to(0) is None
    trend = seen(3 * 1_440, 1 << 20)
    assert len(trend._looks) <= 1_442


def test_looks_that_are_close_count_once() -> None:
    trend = DiskTrend()
    for second in range(120):
        trend.note(float(second), GIB)
    assert len(trend._looks) == 2


def test_the_looks_of_an_earlier_run_count_and_a_clock_that_went_back_drops_some() -> None:
    first = seen(121, GIB // 10)
    later = DiskTrend()
    later.go_on(first.looks)
    later.note(60.0 * 122, first.looks[-1][1] - GIB // 5)
    assert later.seconds_to(4 * GIB) == pytest.approx((100 - 12.2 - 4) * 10 * 60, rel=0.01)
    later.note(60.0 * 60, 94 * GIB)
    assert [at for at, _ in later.looks] == [60.0 * minute for minute in range(61)]
