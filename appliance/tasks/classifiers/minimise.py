"""The minimum of a smooth convex function, by limited-memory BFGS.

Sources: Nocedal, Math. Comput. 35, 1980; Nocedal & Wright, Numerical Optimization, 2nd ed., 2006,
algorithms 7.4 and 3.1 (backtracking until Armijo's condition holds).
"""

from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Objective = Callable[[Floats], tuple[float, Floats]]
_MEMORY: Final = 12
_ARMIJO: Final = 1e-4


def minimise(objective: Objective, start: Floats, tolerance: float, steps: int = 500) -> Floats:
    """The point where the gradient's largest part is at most `tolerance`, or after `steps`.

    Args:
        objective: gives value and gradient.
    """
    point = start
    value, gradient = objective(point)
    pairs: deque[tuple[Floats, Floats, float]] = deque(maxlen=_MEMORY)
    for _ in range(steps):
        if float(np.abs(gradient).max()) <= tolerance:
            break
        direction = _direction(gradient, pairs)
        slope = _dot(gradient, direction)
        size = 1.0 if pairs else min(1.0, 1 / float(np.abs(gradient).sum()))
        while True:
            tried = point + size * direction
            found, slopes = objective(tried)
            if found <= value + _ARMIJO * size * slope or size < 1e-12:
                break
            size /= 2
        if size < 1e-12:
            break  # no digit left to gain
        moved, turned = tried - point, slopes - gradient
        curvature = _dot(moved, turned)
        if curvature > 1e-12 * _dot(turned, turned):
            pairs.append((moved, turned, 1 / curvature))
        point, value, gradient = tried, found, slopes
    return point


def _direction(gradient: Floats, pairs: deque[tuple[Floats, Floats, float]]) -> Floats:
    found = -gradient
    parts = []
    for moved, turned, inverse in reversed(pairs):
        part = inverse * _dot(moved, found)
        found = found - part * turned
        parts.append(part)
    if pairs:
        moved, turned, inverse = pairs[-1]
        found = found / (inverse * _dot(turned, turned))
    for (moved, turned, inverse), part in zip(pairs, reversed(parts), strict=True):
        found = found + (part - inverse * _dot(turned, found)) * moved
    return found


def _dot(first: Floats, second: Floats) -> float:
    """By numpy alone: a BLAS would wake threads for so little."""
    return float(np.sum(first * second))
