"""Distributions over labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.statistics.labels import WEIGHTS, blended, distribution, fitted_weight


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


def test_the_weight_of_a_blend_follows_the_one_that_knows() -> None:
    knows, guesses = [[0.8, 0.2], [0.2, 0.8]], [[0.5, 0.5], [0.5, 0.5]]
    assert fitted_weight(knows, guesses, [0, 1]) == 1
    assert fitted_weight(guesses, knows, [0, 1]) == 0
    assert fitted_weight(knows, knows, [0, 1]) == 0  # of equals the least
    # Each knows another half: together they know more than either.
    one, other = [[0.9, 0.1], [0.5, 0.5]] * 5, [[0.5, 0.5], [0.1, 0.9]] * 5
    weight = fitted_weight(one, other, [0, 1] * 5)
    assert weight in WEIGHTS and 0.4 <= weight <= 0.6


def test_a_weight_is_not_fitted_to_nothing() -> None:
    with pytest.raises(ValueError, match="none"):
        fitted_weight([], [], [])
    with pytest.raises(ValueError):
        fitted_weight([[1.0]], [], [0])
