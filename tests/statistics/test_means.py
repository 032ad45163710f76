"""Error rates of the limits of means that decide on floors: exact, or simulated.

The controls are Wilson's plain limits.
"""

import numpy as np
import pytest

from appliance.statistics.groups import mean, uncorrected_mean
from appliance.statistics.proportions import Interval, corrected, wilson
from appliance.statistics.special import binomial_cdf, normal_quantile

SIZES = (50, 62, 75, 100, 200, 455)
LEVELS = (0.05, 0.035, 0.025, 0.0125, 0.005)
"""One-sided: of the advisor, and of the looks of a gate."""
TRUTHS = (0.7, 0.9, 0.95, 0.98)
ITEMS = 5


def worst(interval: object, n: int, alpha: float, least: float) -> float:
    """Error rate of a lower limit at the worst truth, as a share of alpha."""
    assert callable(interval)
    lows = [interval(k, n, 1 - 2 * alpha) for k in range(1, n + 1)]
    found = [
        1 - binomial_cdf(k - 1, n, one.low)
        for k, one in enumerate(lows, 1)
        if isinstance(one, Interval) and one.low >= least
    ]
    return max(found) / alpha


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("alpha", LEVELS)
def test_one_item_a_group_exactly(n: int, alpha: float) -> None:
    assert worst(corrected, n, alpha, 0.5) <= 1


def test_control_wilson_s_limits_err_more_often_than_they_say() -> None:
    """With 50 of 50 right his limit at 5 % is .949, and a truth of .949 gives that in 7 %."""
    assert worst(wilson, 50, 0.05, 0.9) == pytest.approx(1.43, abs=0.01)


def drawn(runs: int, groups: int, icc: float, truth: float) -> np.ndarray:
    """Groups of items with their own shares."""
    draw = np.random.default_rng(13)
    share = np.full((runs, groups), truth)
    if icc:
        share = draw.beta(truth * (1 / icc - 1), (1 - truth) * (1 / icc - 1), (runs, groups))
    means: np.ndarray = draw.binomial(ITEMS, share) / ITEMS
    return means


def lower(means: np.ndarray, alpha: float, *, added: bool = True) -> np.ndarray:
    """Of many samples at once; `test_the_many_are_the_one` compares them."""
    z, n, value = normal_quantile(1 - alpha), means.shape[1], means.mean(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        if added:
            middle = (means.sum(1) + 1) / (n + 2)
            spread = ((means * means).sum(1) + 1) / (n + 2) - middle * middle
            size = np.minimum(n * middle * (1 - middle) / spread, n * ITEMS)
            root = z * z - 2 - 1 / size + 4 * value * (size * (1 - value) + 1)
            low = 2 * size * value + z * z - 1 - z * np.sqrt(np.maximum(root, 0))
            limits: np.ndarray = np.maximum(0, low / (2 * (size + z * z)))
            return limits
        spread = means.var(1, ddof=1)
        size = np.where(value < 1, np.minimum(n * value * (1 - value) / spread, n * ITEMS), n)
    half = z * np.sqrt(value * (1 - value) / size + z * z / (4 * size * size))
    limits = (value + z * z / (2 * size) - half) / (1 + z * z / size)
    return limits


def test_the_many_are_the_one() -> None:
    means = drawn(20, 60, 0.3, 0.9)
    names = np.repeat(np.arange(60), ITEMS).tolist()
    both = zip(means, lower(means, 0.025), lower(means, 0.025, added=False), strict=True)
    for one, limit, plain in both:
        right = np.arange(ITEMS)[None, :] < np.round(one * ITEMS)[:, None]
        values = right.astype(float).ravel().tolist()
        assert mean(values, names, 0.95).interval.low == pytest.approx(limit, abs=1e-9)
        old = uncorrected_mean(values, names, 0.95).interval.low
        assert old == pytest.approx(plain, abs=1e-9)


def cells(sizes: tuple[int, ...], alpha: float, *, added: bool = True) -> list[float]:
    """Limits above the truth, each as a share of alpha."""
    return [
        float((lower(drawn(20_000, n, icc, truth), alpha, added=added) > truth).mean()) / alpha
        for n in sizes
        for icc in (0.0, 0.3, 0.9)
        for truth in TRUTHS
    ]


def test_several_items_a_group_at_the_fewest_groups() -> None:
    for alpha in (0.025, 0.0125):
        found = cells((50,), alpha)
        assert max(found) <= 1 + 3 / (alpha * 20_000) ** 0.5 and np.mean(found) <= 1


def test_control_without_the_two_groups_it_errs_twice_as_often() -> None:
    assert max(cells((50, 100), 0.0125, added=False)) > 1.8


@pytest.mark.slow
@pytest.mark.parametrize("alpha", LEVELS)
def test_several_items_a_group_in_every_cell(alpha: float) -> None:
    found = cells(SIZES, alpha)
    print(f"means at {alpha}: mean {np.mean(found):.2f}, most {max(found):.2f}")  # noqa: T201
    assert max(found) <= 1 + 3 / (alpha * 20_000) ** 0.5 and np.mean(found) <= 1
