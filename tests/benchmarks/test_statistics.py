"""Order statistics and ratios, against their definitions."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.statistics import Summary, bootstrap, quantile, ratios

NUMBERS = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=50)


def test_quantiles_are_values_that_were_seen() -> None:
    values = [float(v) for v in range(1, 101)]
    assert [quantile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert quantile([7.0], 0.99) == 7.0
    assert math.isnan(quantile([], 0.5))


@given(NUMBERS, st.floats(0.01, 1.0))
def test_a_quantile_has_its_share_at_or_below(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(v <= found for v in values) >= share * len(values) - 1e-9
    assert sum(v < found for v in values) < share * len(values) + 1e-9


@given(NUMBERS)
def test_a_summary_lies_between_its_ends(values: list[float]) -> None:
    summary = Summary.of(values)
    assert summary.low == min(values) <= summary.median <= max(values) == summary.high


@pytest.mark.parametrize("values", [[], [1.0, math.nan]])
def test_nothing_measured_is_no_summary(values: list[float]) -> None:
    with pytest.raises(ValueError, match="nothing to summarise"):
        Summary.of(values)


def test_ratios_are_made_within_a_repetition() -> None:
    # The ratio of the medians would be 1: the machine was slow in the second repetition.
    assert ratios([10, 2, 6], [5, 1, 6]) == [2, 2, 1]
    assert math.isnan(ratios([1.0], [0.0])[0])
    with pytest.raises(ValueError):
        ratios([1.0], [1.0, 2.0])


def test_the_bootstrap_interval_holds_the_median_and_does_not_change() -> None:
    values = [0.97, 0.99, 1.0, 1.01, 1.02, 0.98, 1.0, 1.03]
    interval = bootstrap(values)
    assert interval.low <= interval.median <= interval.high
    assert min(values) <= interval.low < interval.high <= max(values)
    assert interval == bootstrap(values)
    assert bootstrap([2.0] * 5) == Summary(2.0, 2.0, 2.0)
