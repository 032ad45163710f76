"""Batches: the rows that are computed together, and their order. Pure; no torch.

Rules: the order of an epoch follows from the seed and the epoch only, so that training can begin at
any step; rows of about one length are computed together.
"""

import math
from collections.abc import Sequence

import numpy as np

from appliance.tuning.rows import TokenRow


def steps(rows: int, batch: int, epochs: float) -> int:
    """Steps of the optimiser in all."""
    return max(1, round(math.ceil(rows / batch) * epochs))


def step_rows(rows: int, batch: int, seed: int, step: int) -> list[int]:
    """Rows' indices."""
    each = math.ceil(rows / batch)
    epoch, place = divmod(step, each)
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    return [int(number) for number in order[place * batch : (place + 1) * batch]]


def parts(
    rows: Sequence[TokenRow], numbers: Sequence[int], prefix: int, most: int
) -> list[list[int]]:
    """Cut a step's rows into parts, padding included.

    Args:
        prefix: shared tokens, which a part computes once.
        most: tokens of a part; a single row may have more.
    """
    found: list[list[int]] = []
    for number in sorted(numbers, key=lambda n: (len(rows[n].tokens), n)):
        length = len(rows[number].inputs) - prefix
        if found and prefix + length * (len(found[-1]) + 1) <= most:
            found[-1].append(number)
        else:
            found.append([number])
    return found


def computed(rows: Sequence[TokenRow], prefix: int, most: int, batch: int, seed: int) -> int:
    """Tokens that one epoch computes, padding included."""
    total = 0
    for step in range(math.ceil(len(rows) / batch)):
        for part in parts(rows, step_rows(len(rows), batch, seed, step), prefix, most):
            longest = max(len(rows[number].inputs) for number in part) - prefix
            total += prefix + longest * len(part)
    return total
