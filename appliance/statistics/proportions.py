"""Intervals of one proportion: k of n, where every trial is its own group.

Rules: limits are within [0, 1]; k = 0 and k = n have intervals with a width; n = 0 has the interval
[0, 1].
"""

import math
from typing import NamedTuple

from appliance.statistics.special import beta_quantile, normal_quantile


class Interval(NamedTuple):
    """A two-sided interval, lower limit first."""

    low: float
    high: float


def wilson(k: float, n: float, confidence: float = 0.95) -> Interval:
    """The score interval (Wilson, J. Am. Stat. Assoc. 22, 1927). `n` may be an effective size."""
    _check(k, n, confidence)
    if n == 0:
        return Interval(0.0, 1.0)
    z = normal_quantile((1 + confidence) / 2)
    p = k / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(
        0.0 if k == 0 else max(0.0, middle - half), 1.0 if k == n else min(1.0, middle + half)
    )


def corrected(k: float, n: float, confidence: float = 0.95) -> Interval:
    """Wilson's interval with continuity correction (Newcombe, Stat. Med. 17:857, 1998, method 4).

    By exact enumeration at 50 to 2,000 trials a limit errs no more often than it says, where
    Wilson's errs up to 1.4 times as often. `n` may be an effective size.
    """
    _check(k, n, confidence)
    if n == 0:
        return Interval(0.0, 1.0)
    z = normal_quantile((1 + confidence) / 2)
    return Interval(_corrected(k, n, z), 1 - _corrected(n - k, n, z))


def trials(value: float, limit: float, confidence: float = 0.95) -> float:
    """The trials behind this limit of `corrected`."""
    if not (0 <= value <= 1 and 0 <= limit <= 1) or value == limit:
        raise ValueError("a proportion and a limit next to it are needed")
    if limit > value:
        value, limit = 1 - value, 1 - limit
    z = normal_quantile((1 + confidence) / 2)
    low, high = 1e-6, 1e9
    while high > low * (1 + 1e-9):
        middle = math.sqrt(low * high)
        if _corrected(value * middle, middle, z) < limit:
            low = middle
        else:
            high = middle
    return high


def upper_limit(k: float, n: float, delta: float) -> float:
    """One-sided exact upper limit: a larger true rate shows at most `k` with less than `delta`."""
    _check(k, n, delta)
    return 1.0 if k >= n else beta_quantile(1 - delta, k + 1, n - k)


def lower_limit(k: float, n: float, delta: float) -> float:
    """The one-sided exact lower limit, the mirror image of `upper_limit`."""
    _check(k, n, delta)
    return 0.0 if k <= 0 else beta_quantile(delta, k, n - k + 1)


def _corrected(k: float, n: float, z: float) -> float:
    if k == 0:
        return 0.0
    p = k / n
    root = z * z - 2 - 1 / n + 4 * p * (n * (1 - p) + 1)
    return max(0.0, (2 * k + z * z - 1 - z * math.sqrt(max(0.0, root))) / (2 * (n + z * z)))


def _check(k: float, n: float, probability: float) -> None:
    if not 0 <= k <= n or not 0 < probability < 1:
        raise ValueError("0 <= k <= n and a probability strictly between 0 and 1 are needed")
