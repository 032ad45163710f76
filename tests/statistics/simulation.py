"""How often a statement fails, and whether that is more than chance around what was promised."""

import math
from collections.abc import Callable

import numpy as np


def rate(runs: int, seed: int, failed: Callable[[np.random.Generator], bool]) -> float:
    """The share of runs in which `failed` says yes."""
    random = np.random.default_rng(seed)
    return sum(failed(random) for _ in range(runs)) / runs


def within(observed: float, promised: float, runs: int) -> bool:
    """Whether a failure rate is at most what was promised plus 2 standard errors."""
    return observed <= promised + 2 * math.sqrt(promised * (1 - promised) / runs)
