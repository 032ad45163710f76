"""The calibration error of probabilities that answers are right."""

import math
from collections.abc import Hashable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from appliance.statistics.groups import GroupMean, jackknife, mean_rows
from appliance.statistics.proportions import Interval
from appliance.statistics.special import normal_cdf

_Numbers = NDArray[np.float64]


def calibration_error(
    confidence: Sequence[float],
    right: Sequence[bool],
    groups: Sequence[Hashable],
    bins: int = 10,
) -> GroupMean:
    """Expected calibration error over bins of one width, each group alike.

    Bins are closed on the right (Naeini, Cooper & Hauskrecht, AAAI 2015; Guo et al., ICML 2017).
    Chance's part of each gap is taken off (Kumar, Liang & Ma, NeurIPS 2019).
    """
    if len(confidence) != len(right) or not len(right):
        raise ValueError("every confidence needs its outcome, and at least one")
    p, y = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if p.min() < 0 or p.max() > 1:
        raise ValueError("a calibration error needs probabilities")
    index = np.clip(np.ceil(p * bins).astype(int) - 1, 0, bins - 1)
    gaps = mean_rows((y - p)[:, None] * (index[:, None] == np.arange(bins)), groups)
    sums = np.hstack([gaps, gaps * gaps, np.ones((len(gaps), 1))])
    found = jackknife(partial(_without_chance, sure=True), sums)
    # Gaps that may be none are taken for less in the lower limit: it is 0 where all is chance.
    low = jackknife(partial(_without_chance, sure=False), sums).interval.low
    return found._replace(interval=Interval(min(low, found.interval.low), found.interval.high))


def _without_chance(sums: _Numbers, *, sure: bool) -> _Numbers:
    """From sums of gaps and of squares, and counts.

    Args:
        sure: take each gap as the true one, else its likely part.
    """
    n = sums[:, -1:]
    found, squares = np.split(sums[:, :-1] / n, 2, axis=1)
    error = np.sqrt(np.maximum(squares - found * found, 0) / np.maximum(n - 1, 1))
    gap = np.abs(found) if sure else np.sqrt(np.maximum(found * found - error * error, 0))
    spread = np.maximum(error, 1e-12)
    beyond = np.vectorize(normal_cdf)(-gap / spread)
    folded = spread * math.sqrt(2 / math.pi) * np.exp(-0.5 * (gap / spread) ** 2)
    chance = folded - 2 * gap * beyond
    total: _Numbers = np.maximum((np.abs(found) - chance).sum(1), 0)
    return total
