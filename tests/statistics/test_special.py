"""Special functions: the corners, and that a quantile undoes a distribution function."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.statistics.special import (
    beta_cdf,
    beta_quantile,
    binomial_cdf,
    normal_cdf,
    normal_quantile,
)


@given(st.floats(1e-6, 1 - 1e-6), st.floats(0.5, 1e5), st.floats(0.5, 1e5))
def test_the_quantile_of_beta_undoes_its_distribution(p: float, a: float, b: float) -> None:
    assert beta_cdf(beta_quantile(p, a, b), a, b) == pytest.approx(p, abs=1e-8)


def test_binomial_probabilities_are_those_of_counting() -> None:
    exact = sum(math.comb(40, i) for i in range(13)) / 2**40
    assert binomial_cdf(12, 40, 0.5) == pytest.approx(exact, rel=1e-12)
    assert binomial_cdf(-1, 5, 0.3) == 0
    assert binomial_cdf(5, 5, 0.3) == 1


def test_the_ends() -> None:
    assert (beta_cdf(0, 2, 3), beta_cdf(1, 2, 3)) == (0, 1)
    assert (beta_quantile(0, 2, 3), beta_quantile(1, 2, 3)) == (0, 1)
    assert normal_cdf(normal_quantile(0.975)) == pytest.approx(0.975, abs=1e-12)


@pytest.mark.parametrize("wrong", [(0.5, 0, 1), (0.5, 1, -1), (0.5, float("nan"), 1)])
def test_parameters_that_are_no_distribution(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        beta_cdf(*wrong)
    with pytest.raises(ValueError, match="probability"):
        beta_quantile(1.5, 1, 1)
    with pytest.raises(ValueError, match="binomial"):
        binomial_cdf(1, -1, 0.5)
