"""The learning curve: shares that lie within each other, and an honest "unknown"."""

import pytest

from appliance.evals.outcomes import Outcome
from appliance.tuning.curve import LearningPoint, more_helps, part
from appliance.tuning.rows import TokenRow
from appliance.wire.admin.results import RowsDoubled


def point(share: float, right: int, count: int = 200) -> LearningPoint:
    outcomes = tuple(
        Outcome(f"i{n}", f"g{n}", "a", "a" if n < right else "b", 10**6 * (n < right), 1)
        for n in range(count)
    )
    return LearningPoint(share, round(share * 1000), outcomes)


def test_smaller_shares_lie_within_larger_ones() -> None:
    rows = [TokenRow(f"r{n}", (1,), (2,)) for n in range(100)]
    quarter, half, whole = (part(rows, share) for share in (0.25, 0.5, 1.0))
    assert (len(quarter), len(half), len(whole)) == (25, 50, 100)
    assert set(quarter) < set(half) < set(whole) and list(whole) == rows
    assert set(part(rows[::-1], 0.25)) == set(quarter)  # the order of the file does not matter
    assert list(quarter) != rows[:25]
    assert len(part(rows[:1], 0.25)) == 1


@pytest.mark.parametrize(
    ("half", "whole", "count", "expected"),
    [
        (120, 160, 200, "yes"),
        (160, 140, 200, "no"),
        (160, 161, 200, "unknown"),
        (10, 14, 20, "unknown"),
    ],
)
def test_only_what_is_shown_is_said(half: int, whole: int, count: int, expected: str) -> None:
    said, told = more_helps([point(0.5, half, count), point(1.0, whole, count)])
    assert said == expected and told.doubling == pytest.approx((whole - half) / count)


def test_without_half_of_the_rows_nothing_is_said() -> None:
    assert more_helps([point(1.0, 100)]) == ("unknown", RowsDoubled())


def test_a_point_has_its_interval() -> None:
    told = point(0.5, 100).told()
    assert told.rows == 500 and told.metric == 0.5
    assert told.interval[0] < 0.5 < told.interval[1]
