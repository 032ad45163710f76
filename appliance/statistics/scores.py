"""How good probabilities and confidences are.

Rules: `right` says of each answer whether it was right; `confidence` is a number that is larger
where the answer is more likely right, a probability where the docstring says so; ties are shared
evenly, so that no order of the items changes a score.
"""

import math
from collections.abc import Hashable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from appliance.statistics.groups import Estimate, jackknife, mean_rows
from appliance.statistics.proportions import Interval
from appliance.statistics.special import normal_cdf

_Numbers = NDArray[np.float64]


def brier(confidence: Sequence[float], right: Sequence[bool]) -> float:
    """The mean squared error of probabilities (Brier, Mon. Weather Rev. 78, 1950)."""
    p, y = _both(confidence, right)
    return float(np.mean((p - y) ** 2))


def log_loss(confidence: Sequence[float], right: Sequence[bool], floor: float = 1e-12) -> float:
    """The mean negative log-likelihood of probabilities, in nats, clipped at `floor`."""
    p, y = _both(confidence, right)
    p = np.clip(p, floor, 1 - floor)
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))


def calibration_error(
    confidence: Sequence[float],
    right: Sequence[bool],
    groups: Sequence[Hashable],
    bins: int = 10,
) -> Estimate:
    """Expected calibration error of probabilities over bins of one width, each group alike.

    Bins are closed on the right (Naeini, Cooper & Hauskrecht, AAAI 2015; Guo et al., ICML 2017).
    Chance alone makes gaps: what it adds to each is taken off (Kumar, Liang & Ma, NeurIPS 2019).

    Raises:
        ValueError: a confidence is no probability, or what `brier` raises.
    """
    p, y = _both(confidence, right)
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
    """The sum of the gaps of the bins, from sums of gaps and of their squares, and from counts.

    Args:
        sure: each gap is taken for the true one; else for what is likely left of it.
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


def auroc(confidence: Sequence[float], right: Sequence[bool]) -> float:
    """The probability that a right answer has more confidence than a wrong one, ties half.

    The Mann-Whitney form (Hanley & McNeil, Radiology 143, 1982).

    Raises:
        ValueError: all answers are right, or all are wrong.
    """
    c, y = _both(confidence, right)
    positive = int(y.sum())
    negative = len(y) - positive
    if not positive or not negative:
        raise ValueError("right and wrong answers are needed")
    _, inverse, counts = np.unique(c, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - counts + 1 + ends) / 2
    total = float(ranks[inverse][y > 0].sum())
    return (total - positive * (positive + 1) / 2) / (positive * negative)


def risk_coverage(confidence: Sequence[float], right: Sequence[bool]) -> tuple[_Numbers, _Numbers]:
    """Coverage and error rate of the most confident answers, one point for each threshold."""
    c, y = _both(confidence, right)
    order = np.argsort(-c, kind="stable")
    wrong = np.cumsum(1 - y[order])
    last = np.flatnonzero(np.append(np.diff(c[order]) != 0, True))
    accepted = (last + 1).astype(np.float64)
    return accepted / len(c), wrong[last] / accepted


def aurc(confidence: Sequence[float], right: Sequence[bool]) -> float:
    """The area under the risk-coverage curve (Geifman, Uziel & El-Yaniv, ICLR 2019): the mean
    error rate among the k most confident answers over all k, ties in expected order.
    """
    c, y = _both(confidence, right)
    order = np.argsort(-c, kind="stable")
    wrong = 1 - y[order]
    _, start, counts = np.unique(-c[order], return_index=True, return_counts=True)
    shared = np.repeat(np.add.reduceat(wrong, start) / counts, counts)
    return float(np.mean(np.cumsum(shared) / np.arange(1, len(c) + 1)))


def _both(confidence: Sequence[float], right: Sequence[bool]) -> tuple[_Numbers, _Numbers]:
    if len(confidence) != len(right) or not len(right):
        raise ValueError("every confidence needs its outcome, and at least one")
    return np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
