"""Distributions over a set of labels: from logarithms, and two of them multiplied.

Source: for blends the logarithmic opinion pool; Genest & Zidek, Statistical Science 1, 1986.
"""

import math
from collections.abc import Sequence
from typing import Final

_LEAST: Final = 1e-12
"""What counts as impossible is only very unlikely, so that one alone excludes no label."""


def distribution(logs: Sequence[float]) -> list[float]:
    """Probabilities in proportion to exponentials: the softmax, without overflow.

    Args:
        logs: the logarithm of each label's weight; at least one.
    """
    highest = max(logs)
    weights = [math.exp(value - highest) for value in logs]
    total = sum(weights)
    return [weight / total for weight in weights]


def total(logs: Sequence[float]) -> float:
    """The logarithm of the sum of exponentials, without overflow; at least one is needed."""
    highest = max(logs)
    return highest + math.log(math.fsum(math.exp(value - highest) for value in logs))


def blended(one: Sequence[float], other: Sequence[float], weight: float) -> list[float]:
    """Two distributions multiplied: each probability is in proportion to one^w * other^(1-w).

    Args:
        weight: w, between 0 (the other alone) and 1 (the one alone).
    """
    if weight in (0, 1):  # exactly as the one that decides alone
        return list(one if weight else other)
    return distribution(
        [
            weight * math.log(max(a, _LEAST)) + (1 - weight) * math.log(max(b, _LEAST))
            for a, b in zip(one, other, strict=True)
        ]
    )
