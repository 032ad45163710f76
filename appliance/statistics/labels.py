"""Distributions over a set of labels."""

import math
from collections.abc import Sequence


def distribution(logs: Sequence[float]) -> list[float]:
    """Probabilities in proportion to exponentials: the softmax, without overflow.

    Args:
        logs: the logarithm of each label's weight; at least one.
    """
    highest = max(logs)
    weights = [math.exp(value - highest) for value in logs]
    total = sum(weights)
    return [weight / total for weight in weights]
