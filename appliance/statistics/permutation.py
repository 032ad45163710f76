"""Permutation tests whose units are groups, days or sessions, never single rows.

Rules: the seed is given; the observed arrangement counts as one of those drawn, so that no p-value
is 0 (Phipson & Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010); where all arrangements are fewer
than the draws asked for, all are counted and the p-value is exact.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SLACK: Final = 1e-12
_CELLS: Final = 1 << 22


def paired(gaps: Sequence[float], draws: int = 9_999, seed: int = 0) -> float:
    """Two-sided p-value that paired differences of groups are symmetric about 0, by flipping signs.

    Source: Fisher, The Design of Experiments, 1935, section 21.

    Raises:
        ValueError: there are no differences, or no draws.
    """
    x = np.asarray(gaps, dtype=np.float64)
    if not len(x) or draws < 1:
        raise ValueError("differences and draws are needed")
    observed = abs(float(x.sum())) - _SLACK
    if len(x) < 24 and 1 << len(x) <= draws + 1:
        signs = (np.arange(1 << len(x))[:, None] >> np.arange(len(x))) & 1
        return float(np.mean(np.abs((1 - 2 * signs) @ x) >= observed))
    random = np.random.Generator(np.random.PCG64(seed))
    extreme, left = 1, draws
    while left:
        rows = min(left, max(1, _CELLS // len(x)))
        signs = 1 - 2 * random.integers(0, 2, size=(rows, len(x)))
        extreme += int(np.count_nonzero(np.abs(signs @ x) >= observed))
        left -= rows
    return extreme / (draws + 1)


def two_samples(
    first: Sequence[float], second: Sequence[float], draws: int = 9_999, seed: int = 0
) -> float:
    """Two-sided p-value that two samples of groups have one distribution, by their means.

    Source: Pitman, J. R. Stat. Soc. Suppl. 4, 1937.

    Raises:
        ValueError: a sample is empty, or there are no draws.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if not len(a) or not len(b) or draws < 1:
        raise ValueError("two samples and draws are needed")
    pooled = np.concatenate([a, b])
    n = len(a)
    observed = abs(_gap(float(a.sum()), pooled, n)) - _SLACK
    random = np.random.Generator(np.random.PCG64(seed))
    extreme = 1
    for _ in range(draws):
        total = float(random.permutation(pooled)[:n].sum())
        extreme += abs(_gap(total, pooled, n)) >= observed
    return extreme / (draws + 1)


def _gap(total: float, pooled: NDArray[np.float64], n: int) -> float:
    return total / n - (float(pooled.sum()) - total) / (len(pooled) - n)
