"""From a score to a probability that the answer is right: isotonic calibration.

Rules: fitted on one split, applied on others; the fit is deterministic; coefficients are plain
JSON, checked before they are applied; a score beyond the fitted range gets the nearest end's
probability.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.errors import Refused

_MOST_POINTS: Final = 1_000_000


@dataclass(frozen=True)
class Isotonic:
    """A non-decreasing function through points, linear between them."""

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def apply(self, scores: Sequence[float]) -> NDArray[np.float64]:
        return np.interp(np.asarray(scores, dtype=np.float64), self.scores, self.probabilities)

    def coefficients(self) -> dict[str, str | list[float]]:
        return {
            "kind": "isotonic",
            "scores": list(self.scores),
            "probabilities": list(self.probabilities),
        }


def fit_isotonic(scores: Sequence[float], right: Sequence[bool]) -> Isotonic:
    """The non-decreasing step function of least squares, by pooling adjacent violators.

    Sources: Ayer et al., Ann. Math. Stat. 26, 1955; Zadrozny & Elkan, KDD 2002. Equal scores are
    one point. Between the steps it is linear, as scikit-learn's is.
    """
    x, y = _pair(scores, right)
    points, inverse, weight = np.unique(x, return_inverse=True, return_counts=True)
    level = np.bincount(inverse, weights=y) / weight
    # Each block: its mean, its weight, how many points it spans.
    blocks: list[tuple[float, float, int]] = []
    for value, w in zip(level.tolist(), weight.tolist(), strict=True):
        mean, mass, span = value, float(w), 1
        while blocks and blocks[-1][0] >= mean:
            before, held, count = blocks.pop()
            mean = (before * held + mean * mass) / (held + mass)
            mass, span = held + mass, span + count
        blocks.append((mean, mass, span))
    kept_x: list[float] = []
    kept_y: list[float] = []
    at = 0
    for mean, _, span in blocks:
        for edge in sorted({at, at + span - 1}):
            kept_x.append(float(points[edge]))
            kept_y.append(mean)
        at += span
    return Isotonic(tuple(kept_x), tuple(kept_y))


def read(value: object) -> Isotonic:
    """Raises Refused (`coefficients_invalid`)."""
    table = value if isinstance(value, dict) else {}
    if table.get("kind") == "isotonic" and set(table) == {"kind", "scores", "probabilities"}:
        x, y = _numbers(table["scores"]), _numbers(table["probabilities"])
        rising = all(a < b for a, b in itertools.pairwise(x))
        falls = any(a > b for a, b in itertools.pairwise(y))
        if len(x) == len(y) > 0 and rising and not falls and y[0] >= 0 and y[-1] <= 1:
            return Isotonic(x, y)
    raise _invalid("they are no isotonic function")


def _numbers(values: object) -> tuple[float, ...]:
    if not isinstance(values, list) or len(values) > _MOST_POINTS:
        raise _invalid("a list of numbers is missing or too long")
    if any(type(v) not in (int, float) or not math.isfinite(v) for v in values):
        raise _invalid("they hold something else than finite numbers")
    return tuple(float(v) for v in values)


_invalid: Final = Refused.of("coefficients_invalid", "The coefficients cannot be used")


def _pair(
    scores: Sequence[float], right: Sequence[bool]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if len(x) != len(y) or not len(x) or not np.isfinite(x).all():
        raise ValueError("every finite score needs its outcome, and at least one")
    return x, y
