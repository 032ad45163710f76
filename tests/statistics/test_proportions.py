"""Intervals of one proportion: published values, corners, coverage."""

from collections.abc import Callable

import numpy as np
import pytest

from appliance.statistics.proportions import (
    Interval,
    corrected,
    lower_limit,
    trials,
    upper_limit,
    wilson,
)
from tests.statistics.simulation import clopper_pearson, rate, within

INTERVALS = [wilson, clopper_pearson, corrected]


@pytest.mark.parametrize("interval", INTERVALS)
def test_five_of_five_has_a_width(interval: Callable[..., Interval]) -> None:
    low, high = interval(5, 5)
    assert low < 0.6
    assert high == 1
    assert interval(0, 5) == pytest.approx((0, 1 - low), abs=1e-12)
    assert interval(0, 0) == (0, 1)


def test_published_values() -> None:
    """Newcombe, Stat. Med. 17:857, 1998, table I: 81 of 263 and 15 of 148."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert clopper_pearson(81, 263) == pytest.approx((0.2527, 0.3676), abs=5e-5)
    assert corrected(81, 263) == pytest.approx((0.2535, 0.3682), abs=5e-5)
    assert corrected(15, 148) == pytest.approx((0.0598, 0.1644), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


def test_one_sided_limits_are_those_of_twice_the_tail() -> None:
    sides = (lower_limit(3, 60, 0.05), upper_limit(3, 60, 0.05))
    assert sides == pytest.approx(clopper_pearson(3, 60, 0.9), abs=1e-12)
    assert lower_limit(59, 59, 0.05) > 0.95 > lower_limit(58, 58, 0.05)


@pytest.mark.parametrize("p", [0.02, 0.2, 0.5])
def test_clopper_and_pearson_cover(p: float) -> None:
    limits = [clopper_pearson(k, 80, 0.9) for k in range(81)]

    def missed(random: np.random.Generator) -> bool:
        low, high = limits[random.binomial(80, p)]
        return not low <= p <= high

    assert within(rate(4000, 1, missed), 0.1, 4000)


def test_control_an_interval_without_its_tail_misses() -> None:
    def missed(random: np.random.Generator) -> bool:
        share = random.binomial(80, 0.02) / 80
        half = 1.645 * (share * (1 - share) / 80) ** 0.5  # Wald
        return not share - half <= 0.02 <= share + half

    assert rate(4000, 1, missed) > 0.2


@pytest.mark.parametrize("wrong", [(3, 2, 0.9), (-1, 2, 0.9), (1, 2, 1.0)])
@pytest.mark.parametrize("interval", INTERVALS)
def test_what_is_no_proportion(
    interval: Callable[..., Interval], wrong: tuple[int, int, float]
) -> None:
    with pytest.raises(ValueError, match="0 <= k <= n"):
        interval(*wrong)


@pytest.mark.parametrize(("k", "n"), [(50, 62), (62, 62), (0, 62), (181.5, 200.25)])
def test_as_many_trials_as_a_limit_tells(k: float, n: float) -> None:
    low, high = corrected(k, n, 0.9)
    limit = low if k else high
    assert trials(k / n, limit, 0.9) == pytest.approx(n, rel=1e-6)
