"""Two answerers on the same items: differences of paired proportions.

Rules: the difference is the first minus the second; every item is its own group
(`groups.paired_difference` is for groups of several items); no item is left out on one side only.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from appliance.statistics.proportions import Interval
from appliance.statistics.special import binomial_cdf, normal_quantile


class Pairs(NamedTuple):
    """Counts of both right, the first only, the second only, and neither."""

    both: int
    first: int
    second: int
    neither: int

    @property
    def n(self) -> int:
        return sum(self)

    @property
    def difference(self) -> float:
        return (self.first - self.second) / self.n


def count(first: Sequence[bool], second: Sequence[bool]) -> Pairs:
    """The table of two answerers, item by item."""
    if len(first) != len(second) or not first:
        raise ValueError("paired outcomes need the same items on both sides")
    together = [(bool(a), bool(b)) for a, b in zip(first, second, strict=True)]
    return Pairs(
        together.count((True, True)),
        together.count((True, False)),
        together.count((False, True)),
        together.count((False, False)),
    )


def mcnemar(first: int, second: int) -> float:
    """The exact two-sided p-value of the discordant counts (McNemar, Psychometrika 12, 1947)."""
    if first < 0 or second < 0:
        raise ValueError("counts are not negative")
    return min(1.0, 2 * binomial_cdf(min(first, second), first + second, 0.5))


def tango(pairs: Pairs, confidence: float = 0.95) -> Interval:
    """The score interval (Tango, Stat. Med. 17:891, 1998), by bisection to 1e-12."""
    if not 0 < confidence < 1:
        raise ValueError("confidence is a probability")
    n = _positive(pairs)
    z = normal_quantile((1 + confidence) / 2)
    difference = pairs.difference
    score = _score(pairs.first, pairs.second, n)
    # The statistic falls as the supposed difference grows.
    low = -1.0 if difference <= -1 else _root(lambda x: score(x) - z, -1.0, difference)
    high = 1.0 if difference >= 1 else _root(lambda x: score(x) + z, difference, 1.0)
    return Interval(low, high)


def supposed_variance(b: float, c: float, n: float, delta: float) -> float:
    """Tango's variance of `b - c` among n pairs where the difference is supposed to be `delta`."""
    middle = -b - c + (2 * n - b + c) * delta
    free = -c * delta * (1 - delta)
    rest = (math.sqrt(max(0.0, middle * middle - 8 * n * free)) - middle) / (4 * n)
    return n * (2 * rest + delta * (1 - delta))


def _score(b: int, c: int, n: int) -> Callable[[float], float]:
    def statistic(delta: float) -> float:
        variance = supposed_variance(b, c, n, delta)
        distance = b - c - n * delta
        if variance <= 0:
            return 0.0 if distance == 0 else math.copysign(math.inf, distance)
        return distance / math.sqrt(variance)

    return statistic


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    while high - low > 1e-12:
        middle = (low + high) / 2
        if function(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _positive(pairs: Pairs) -> int:
    if pairs.n <= 0 or min(pairs) < 0:
        raise ValueError("a table of pairs has counts, and at least one")
    return pairs.n
