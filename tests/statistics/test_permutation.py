"""Permutation tests: exact where they can be, level by simulation, the control over rows."""

import numpy as np
import pytest

from appliance.statistics import permutation
from tests.statistics.simulation import rate, within


def test_few_groups_are_counted_out() -> None:
    assert permutation.paired([1, 1, 1]) == 0.25
    assert permutation.paired([0, 0]) == 1
    assert permutation.paired([1] * 10) == 2 / 2**10


def test_many_groups_are_drawn_and_a_seed_repeats_them() -> None:
    gaps = np.random.default_rng(1).normal(0.1, 1, 60).tolist()
    first = permutation.paired(gaps, draws=999, seed=4)
    assert first == permutation.paired(gaps, draws=999, seed=4)
    assert 0 < first < 1
    assert permutation.paired([1] * 40, draws=999) == 1 / 1000  # never 0
    assert permutation.two_samples([0] * 30, [1] * 30, draws=999) == 1 / 1000


def test_levels() -> None:
    def paired(random: np.random.Generator) -> bool:
        return permutation.paired(random.standard_t(2, 15).tolist(), draws=199) <= 0.05

    def samples(random: np.random.Generator) -> bool:
        a, b = random.exponential(size=12).tolist(), random.exponential(size=20).tolist()
        return permutation.two_samples(a, b, draws=99) <= 0.05

    assert within(rate(600, 13, paired), 0.05, 600)
    assert within(rate(600, 14, samples), 0.05, 600)


def test_control_rows_of_correlated_days_are_no_units() -> None:
    def fired(random: np.random.Generator) -> bool:
        days = random.normal(0, 1, (10, 1)) + random.normal(0, 0.3, (10, 8))
        a, b = days[:5].ravel().tolist(), days[5:].ravel().tolist()
        return permutation.two_samples(a, b, draws=99) <= 0.05

    assert rate(200, 15, fired) > 0.2


def test_what_cannot_be_tested() -> None:
    with pytest.raises(ValueError, match="needed"):
        permutation.paired([])
    with pytest.raises(ValueError, match="needed"):
        permutation.two_samples([1], [])
