"""Distributions over labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.statistics.labels import distribution


@given(st.lists(st.floats(-9999, 50), min_size=1, max_size=30))
def test_shares_sum_to_one_and_keep_the_order(logs: list[float]) -> None:
    shares = distribution(logs)
    assert sum(shares) == pytest.approx(1)
    assert all(0 <= share <= 1 for share in shares)
    assert shares[logs.index(max(logs))] == max(shares)


def test_a_ratio_of_weights_is_the_exponential_of_the_difference() -> None:
    first, second = distribution([-3.0, -5.0])
    assert first / second == pytest.approx(7.389056)
