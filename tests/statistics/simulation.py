"""Failure rates of statements, and whether they exceed the promise by more than chance."""

import math
from collections.abc import Callable

import numpy as np

from appliance.statistics.proportions import Interval, lower_limit, upper_limit


def clopper_pearson(k: float, n: float, confidence: float = 0.95) -> Interval:
    """The exact interval (Clopper & Pearson, Biometrika 26, 1934), of the two limits."""
    tail = (1 - confidence) / 2
    return Interval(lower_limit(k, n, tail), upper_limit(k, n, tail))


def rate(runs: int, seed: int, failed: Callable[[np.random.Generator], bool]) -> float:
    random = np.random.default_rng(seed)
    return sum(failed(random) for _ in range(runs)) / runs


def within(observed: float, promised: float, runs: int) -> bool:
    """True for a failure rate of at most the promise plus 2 standard errors."""
    return observed <= promised + 2 * math.sqrt(promised * (1 - promised) / runs)


def show(what: str, share: float, runs: int) -> None:
    """With its exact interval; `pytest -s` shows it."""
    low, high = clopper_pearson(round(share * runs), runs)
    print(f"{what}: {share:.1%} of {runs:,}, 95 % interval {low:.1%} to {high:.1%}")  # noqa: T201
