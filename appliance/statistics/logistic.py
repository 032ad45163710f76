"""Logistic regression of a yes or no on several numbers.

Rules: features are standardised first, and one that does not vary has the weight 0; only the
weights are penalised, so that separable data have a finite answer; the fit is deterministic and its
coefficients are those of the raw features.
Sources: McCullagh & Nelder, Generalized Linear Models, 2nd ed., 1989; le Cessie & van Houwelingen,
Appl. Stat. 41, 1992, for the penalty.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_STEPS: Final = 100
_STILL: Final = 1e-12
_NEAR: Final = 1e-7
"""A step of Newton below it is the last one: its error is the square, and the loss is flat."""


class Fitted(NamedTuple):
    """1 / (1 + exp(-(weights · features + intercept)))."""

    weights: tuple[float, ...]
    intercept: float

    def apply(self, features: Sequence[float]) -> float:
        z = math.fsum(w * x for w, x in zip(self.weights, features, strict=True)) + self.intercept
        return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def fit(rows: Sequence[Sequence[float]], right: Sequence[bool], penalty: float = 1.0) -> Fitted:
    """Fit by iteratively reweighted least squares.

    Args:
        penalty: half of it times the squares of the standardised weights is added to the negative
            log-likelihood.
    """
    x, y = np.asarray(rows, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if x.ndim != 2 or len(x) != len(y) or not len(x) or not np.isfinite(x).all():
        raise ValueError("every row of finite features needs its outcome, and at least one")
    if penalty <= 0:
        raise ValueError("a penalty is positive")
    # All right or all wrong: the intercept of the Krichevsky-Trofimov estimate, no weights.
    if y.min() == y.max():
        share = float((y.sum() + 0.5) / (len(y) + 1))
        return Fitted((0.0,) * x.shape[1], math.log(share / (1 - share)))
    centre, scale = x.mean(axis=0), x.std(axis=0)
    varies = scale > _STILL * np.maximum(1.0, np.abs(centre))
    scale[~varies] = 1.0
    design = np.column_stack([np.where(varies, (x - centre) / scale, 0.0), np.ones(len(x))])
    ridge = np.array([penalty] * x.shape[1] + [0.0])
    beta = np.zeros(design.shape[1])
    loss = _loss(design, y, beta, ridge)
    for _ in range(_STEPS):
        p = _expit(design @ beta)
        gradient = design.T @ (p - y) + ridge * beta
        hessian = (design.T * (p * (1 - p))) @ design + np.diag(ridge) + _STILL * np.eye(len(beta))
        step = np.linalg.solve(hessian, gradient)
        if float(np.abs(step).max()) < _NEAR:
            beta = beta - step
            break
        size = 1.0
        while (tried := _loss(design, y, beta - size * step, ridge)) > loss and size > 1e-8:
            size /= 2
        beta, loss = beta - size * step, min(loss, tried)
    weights = np.where(varies, beta[:-1] / scale, 0.0)
    return Fitted(tuple(map(float, weights)), float(beta[-1] - weights @ centre))


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
