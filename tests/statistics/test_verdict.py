"""Verdicts: the rule, the missing groups, and error rates by simulation."""

import numpy as np
import pytest

from appliance.statistics.groups import GroupMean, paired_difference
from appliance.statistics.proportions import Interval
from appliance.statistics.verdict import FEWEST, Verdict, all_of, at_least, not_worse
from tests.statistics.simulation import rate, within


def estimate(low: float, high: float, groups: int = 200, spread: float = 0.4) -> GroupMean:
    return GroupMean((low + high) / 2, Interval(low, high), groups, spread)


def test_the_rule() -> None:
    assert not_worse(estimate(-0.01, 0.05), 0.02) == Verdict("pass")
    assert not_worse(estimate(-0.09, -0.03), 0.02) == Verdict("fail")
    outcome, needed = not_worse(estimate(-0.04, 0.04), 0.02)
    assert outcome == "underpowered" and needed is not None
    assert 500 < needed.low < needed.likely and needed.high is None  # 2 points are the margin
    assert not_worse(estimate(-0.02, 0.05), 0.02).outcome == "underpowered"  # not above


def test_a_candidate_that_may_be_equal_is_told_a_number_and_a_worse_one_is_not() -> None:
    """The data decide how often the two differ; whether the candidate is worse, only where it shows
    more than 2 points.
    """
    outcome, needed = not_worse(estimate(-0.13, 0.01), 0.05)
    assert outcome == "underpowered" and needed is not None
    assert not_worse(estimate(-0.13, -0.021), 0.05) == Verdict("underpowered")


def test_few_groups_are_underpowered_whatever_they_show() -> None:
    few = estimate(0.1, 0.3, groups=FEWEST - 1)
    assert not_worse(few, 0.02).outcome == "underpowered"
    same = estimate(-0.01, 0.01, groups=FEWEST - 1, spread=0)
    needed = not_worse(same, 0.2).needed
    assert needed is not None and needed.low == needed.likely == FEWEST
    assert not_worse(estimate(0.1, 0.3, groups=FEWEST), 0.02).outcome == "pass"
    assert not_worse(estimate(-0.9, -0.7, groups=FEWEST - 1), 0.02).outcome == "underpowered"


def test_forty_groups_and_eight_points_less_are_underpowered() -> None:
    first, second = [1] * 30 + [0] * 10, [1] * 33 + [0] * 7
    assert not_worse(paired_difference(first, second, range(40)), 0.05).outcome == "underpowered"


def test_floors_and_intersections() -> None:
    assert at_least(0.8, 0.9, 100, 0.8) == "pass"
    assert at_least(0.7, 0.9, 100, 0.8) == "underpowered"
    assert at_least(0.6, 0.7, 100, 0.8) == "fail"
    assert at_least(0.8, 0.9, FEWEST - 1, 0.8) == "underpowered"
    assert all_of(["pass", "pass"]) == "pass"
    assert all_of(["pass", "underpowered"]) == "underpowered"
    assert all_of(["underpowered", "fail"]) == "fail"
    assert all_of([]) == "underpowered"


def verdict(random: np.random.Generator, truth: float, groups: int, margin: float) -> str:
    shares = [0.1 + max(truth, 0), 0.1 + max(-truth, 0)]
    gaps = random.choice([1, -1, 0], groups, p=[*shares, 1 - sum(shares)])
    found = paired_difference((gaps > 0).tolist(), (gaps < 0).tolist(), range(groups))
    return not_worse(found, margin).outcome


def test_a_candidate_at_the_margin_passes_at_most_one_time_in_twenty() -> None:
    def passed(random: np.random.Generator) -> bool:
        return verdict(random, -0.08, 300, 0.08) == "pass"

    assert within(rate(1500, 9, passed), 0.05, 1500)


def test_the_same_candidate_twice_fails_at_most_one_time_in_twenty() -> None:
    assert rate(1000, 10, lambda r: verdict(r, 0, 300, 0.05) == "fail") <= 0.05


def test_a_loss_of_twice_the_margin_is_not_passed() -> None:
    def passed(random: np.random.Generator) -> bool:
        return verdict(random, -0.16, 300, 0.08) == "pass"

    assert rate(1000, 11, passed) <= 0.05


def test_control_the_best_of_twenty_passes_a_gate_that_is_asked_twenty_times() -> None:
    def any_passed(random: np.random.Generator) -> bool:
        return any(verdict(random, -0.08, 300, 0.08) == "pass" for _ in range(20))

    assert rate(60, 12, any_passed) > 0.3


def test_a_margin_is_not_negative() -> None:
    with pytest.raises(ValueError, match="not negative"):
        not_worse(estimate(0, 1), -0.1)
