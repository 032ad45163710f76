"""Distributions over labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.statistics.labels import blended, distribution


@given(st.lists(st.floats(-9999, 50), min_size=1, max_size=30))
def test_shares_sum_to_one_and_keep_the_order(logs: list[float]) -> None:
    shares = distribution(logs)
    assert sum(shares) == pytest.approx(1)
    assert all(0 <= share <= 1 for share in shares)
    assert shares[logs.index(max(logs))] == max(shares)


def test_a_ratio_of_weights_is_the_exponential_of_the_difference() -> None:
    first, second = distribution([-3.0, -5.0])
    assert first / second == pytest.approx(7.389056)


SHARES = st.lists(st.floats(-9, 9), min_size=3, max_size=3).map(distribution)


@given(SHARES, SHARES, st.floats(0, 1))
def test_a_blend_is_a_distribution_between_the_two(
    one: list[float], other: list[float], weight: float
) -> None:
    found = blended(one, other, weight)
    assert sum(found) == pytest.approx(1)
    products = [a**weight * b ** (1 - weight) for a, b in zip(one, other, strict=True)]
    assert found == pytest.approx([product / sum(products) for product in products])
    assert blended(one, other, 1) == one and blended(one, other, 0) == other


def test_what_one_side_holds_impossible_the_other_can_still_decide() -> None:
    assert blended([1.0, 0.0], [0.0, 1.0], 0.5) == pytest.approx([0.5, 0.5])
    assert blended([1.0, 0.0], [0.4, 0.6], 0.5)[0] > 0.99
