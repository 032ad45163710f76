"""The few statistics of the reports.

Rules: quantiles are order statistics (nearest rank), never interpolated, so that a p99 is a gap
that a client really saw. Ratios are made within one repetition, and only then summarised.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


def quantile(values: Sequence[float], share: float) -> float:
    """The nearest-rank quantile at a share in (0, 1]; NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class Summary:
    """A median, and the lowest and highest value around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Summary":
        """Of each repetition's measurement.

        Raises:
            ValueError: there is nothing, or NaN.
        """
        if not values or any(math.isnan(v) for v in values):
            raise ValueError(f"nothing to summarise in {list(values)}")
        return cls(median(values), min(values), max(values))


def ratios(ours: Sequence[float], others: Sequence[float]) -> list[float]:
    """Repetition by repetition; NaN where the other side measured 0."""
    return [a / b if b else math.nan for a, b in zip(ours, others, strict=True)]


def bootstrap(values: Sequence[float], *, level: float = 0.95, draws: int = 2000) -> Summary:
    """The median and its percentile bootstrap interval (Efron and Tibshirani, 1993, ch. 13).

    The draws depend only on the values, so a report can be made again.
    """
    rng = random.Random(1)
    medians = sorted(median(rng.choices(values, k=len(values))) for _ in range(draws))
    tail = (1 - level) / 2
    return Summary(median(values), quantile(medians, tail), quantile(medians, 1 - tail))
