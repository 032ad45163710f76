"""From a score to a probability that the answer is right: isotonic and logistic calibration.

Rules: fitted on one split, applied on others; the fit is deterministic; coefficients are plain
JSON; coefficients from outside are checked before they are applied; a score beyond the fitted
range gets the probability of the nearest end.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from appliance.errors import Refused

_STEPS: Final = 100
_MOST_POINTS: Final = 1_000_000


@dataclass(frozen=True)
class Isotonic:
    """A non-decreasing function through points, linear between them."""

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def apply(self, scores: Sequence[float]) -> NDArray[np.float64]:
        """The probabilities of `scores`."""
        return np.interp(np.asarray(scores, dtype=np.float64), self.scores, self.probabilities)

    def coefficients(self) -> dict[str, Any]:
        """The function as JSON values."""
        return {
            "kind": "isotonic",
            "scores": list(self.scores),
            "probabilities": list(self.probabilities),
        }


@dataclass(frozen=True)
class Logistic:
    """1 / (1 + exp(-(slope * score + intercept)))."""

    slope: float
    intercept: float

    def apply(self, scores: Sequence[float]) -> NDArray[np.float64]:
        """The probabilities of `scores`."""
        return _expit(np.asarray(scores, dtype=np.float64) * self.slope + self.intercept)

    def coefficients(self) -> dict[str, Any]:
        """The function as JSON values."""
        return {"kind": "logistic", "slope": self.slope, "intercept": self.intercept}


def fit_isotonic(scores: Sequence[float], right: Sequence[bool]) -> Isotonic:
    """The non-decreasing step function of least squares, by pooling adjacent violators.

    Sources: Ayer et al., Ann. Math. Stat. 26, 1955; Zadrozny & Elkan, KDD 2002. Equal scores are
    one point. Between the steps it is linear, as scikit-learn's is.

    Raises:
        ValueError: scores and outcomes differ in length, are missing or not finite.
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


def fit_logistic(scores: Sequence[float], right: Sequence[bool], penalty: float = 1e-3) -> Logistic:
    """Logistic regression on one score, by iteratively reweighted least squares.

    Sources: Platt, Advances in Large Margin Classifiers, 1999; McCullagh & Nelder, Generalized
    Linear Models, 2nd ed., 1989. The slope alone is penalised, with `penalty` / 2 times its
    square added to the negative log-likelihood, so that separable data have a finite answer.

    Raises:
        ValueError: scores and outcomes differ in length, are missing or not finite; the penalty
            is not positive.
    """
    if penalty <= 0:
        raise ValueError("a penalty is positive")
    x, y = _pair(scores, right)
    # All right or all wrong: the intercept of the Krichevsky-Trofimov estimate, no slope.
    if y.min() == y.max():
        share = float((y.sum() + 0.5) / (len(y) + 1))
        return Logistic(0.0, math.log(share / (1 - share)))
    centre, scale = float(x.mean()), float(x.std()) or 1.0
    design = np.column_stack([(x - centre) / scale, np.ones_like(x)])
    ridge = np.array([penalty / (scale * scale), 0.0])
    beta = np.zeros(2)
    loss = _loss(design, y, beta, ridge)
    for _ in range(_STEPS):
        p = _expit(design @ beta)
        gradient = design.T @ (p - y) + ridge * beta
        hessian = (design.T * (p * (1 - p))) @ design + np.diag(ridge) + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while (tried := _loss(design, y, beta - size * step, ridge)) > loss and size > 1e-8:
            size /= 2
        beta, loss = beta - size * step, min(loss, tried)
        if float(np.abs(step).max()) < 1e-12:
            break
    slope = float(beta[0] / scale)
    return Logistic(slope, float(beta[1] - slope * centre))


def read(value: object) -> Isotonic | Logistic:
    """The function of coefficients from outside.

    Raises:
        Refused: `coefficients_invalid`.
    """
    table = value if isinstance(value, dict) else {}
    if table.get("kind") == "logistic" and set(table) == {"kind", "slope", "intercept"}:
        slope, intercept = _numbers([table["slope"], table["intercept"]])
        return Logistic(slope, intercept)
    if table.get("kind") == "isotonic" and set(table) == {"kind", "scores", "probabilities"}:
        x, y = _numbers(table["scores"]), _numbers(table["probabilities"])
        rising = all(a < b for a, b in itertools.pairwise(x))
        falls = any(a > b for a, b in itertools.pairwise(y))
        if len(x) == len(y) > 0 and rising and not falls and y[0] >= 0 and y[-1] <= 1:
            return Isotonic(x, y)
    raise _invalid("they are neither an isotonic nor a logistic function")


def _numbers(values: object) -> tuple[float, ...]:
    if not isinstance(values, list) or len(values) > _MOST_POINTS:
        raise _invalid("a list of numbers is missing or too long")
    if any(type(v) not in (int, float) or not math.isfinite(v) for v in values):
        raise _invalid("they hold something else than finite numbers")
    return tuple(float(v) for v in values)


def _invalid(reason: str) -> Refused:
    return Refused("coefficients_invalid", f"The coefficients cannot be used: {reason}.")


def _pair(
    scores: Sequence[float], right: Sequence[bool]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if len(x) != len(y) or not len(x) or not np.isfinite(x).all():
        raise ValueError("every finite score needs its outcome, and at least one")
    return x, y


def _expit(z: NDArray[np.float64]) -> NDArray[np.float64]:
    value: NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -z))
    return value


def _loss(
    design: NDArray[np.float64],
    y: NDArray[np.float64],
    beta: NDArray[np.float64],
    ridge: NDArray[np.float64],
) -> float:
    z = design @ beta
    return float(np.sum(np.logaddexp(0.0, z) - y * z) + 0.5 * np.sum(ridge * beta * beta))
