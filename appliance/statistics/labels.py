"""Distributions over a set of labels: from logarithms, and two of them multiplied.

Source: for blends the logarithmic opinion pool; Genest & Zidek, Statistical Science 1, 1986.
"""

import math
from collections.abc import Sequence
from typing import Final

WEIGHTS: Final = tuple(step / 20 for step in range(21))
"""Weights of a blend that are tried; finer ones would follow the noise of a few hundred items."""
_LEAST: Final = 1e-12
"""The least probability: one impossible item must not exclude a label."""


def distribution(logs: Sequence[float]) -> list[float]:
    """Softmax of logarithms, without overflow."""
    highest = max(logs)
    weights = [math.exp(value - highest) for value in logs]
    total = sum(weights)
    return [weight / total for weight in weights]


def total(logs: Sequence[float]) -> float:
    """Log-sum-exp, without overflow."""
    highest = max(logs)
    return highest + math.log(math.fsum(math.exp(value - highest) for value in logs))


def blended(one: Sequence[float], other: Sequence[float], weight: float) -> list[float]:
    """Two distributions multiplied: each probability is in proportion to one^w * other^(1-w).

    Args:
        weight: w, between 0 (the other only) and 1 (the one only).
    """
    if weight in (0, 1):  # exactly as the one that decides alone
        return list(one if weight else other)
    added = prior(other, weight)
    return distribution(
        [weight * math.log(max(a, _LEAST)) + b for a, b in zip(one, added, strict=True)]
    )


def prior(other: Sequence[float], weight: float) -> tuple[float, ...]:
    """A blend's summand next to weight * log(one), by label."""
    return tuple((1 - weight) * math.log(max(b, _LEAST)) for b in other)


def fitted_weight(
    ones: Sequence[Sequence[float]], others: Sequence[Sequence[float]], right: Sequence[int]
) -> float:
    """The weight of a blend with the least log loss.

    Args:
        ones, others: a distribution for each item.
        right: index of its label.

    Returns:
        One of `WEIGHTS`; of equals the least.
    """
    items = list(zip(ones, others, right, strict=True))
    if not items:
        raise ValueError("a weight is fitted to items, and there are none")

    def loss(weight: float) -> float:
        shares = (blended(one, other, weight)[place] for one, other, place in items)
        return -sum(math.log(max(share, _LEAST)) for share in shares)

    return min(WEIGHTS, key=lambda weight: (loss(weight), weight))
