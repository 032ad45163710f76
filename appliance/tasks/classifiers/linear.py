"""Multinomial logistic regression over n-grams of a text.

Rules: the weights are penalised by half their squares over `STRENGTH`, the intercepts are not;
training items are sorted first.
Sources: Cox, J. R. Stat. Soc. B 20, 1958; for texts Genkin, Lewis & Madigan, Technometrics 49,
2007.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.tasks.classifiers.minimise import minimise
from appliance.tasks.classifiers.ngrams import NgramVocabulary, fit_vocabulary
from appliance.tasks.classifiers.sparse import Sparse

Floats = NDArray[np.float64]
STRENGTH: Final = 10.0
_TOLERANCE: Final = 1e-4


@dataclass(frozen=True, eq=False)
class Linear:
    """A fitted regression.

    Attributes:
        weights: a row for each feature, a column for each label; 32 bits.
    """

    labels: tuple[str, ...]
    vocabulary: NgramVocabulary
    weights: NDArray[np.float32]
    intercepts: NDArray[np.float32]

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """(texts, labels)."""
        if not texts:
            return np.empty((0, len(self.labels)))
        matrix = self.vocabulary.matrix(texts)
        return _softmax(matrix.times(self.weights) + self.intercepts)


def fit_linear(texts: Sequence[str], labels: Sequence[str], strength: float = STRENGTH) -> Linear:
    """Raises ValueError: other numbers, or fewer than two labels."""
    names = tuple(sorted(set(labels)))
    if len(texts) != len(labels) or len(names) < 2:
        raise ValueError("a regression needs a label for each text, and two labels")
    pairs = sorted(zip(texts, labels, strict=True))
    ordered = [text for text, _ in pairs]
    vocabulary = fit_vocabulary(ordered)
    matrix = vocabulary.matrix(ordered)
    place = {name: n for n, name in enumerate(names)}
    target = np.array([place[label] for _, label in pairs])
    solution = _fit(matrix, target, len(names), strength)
    return Linear(
        names, vocabulary, solution[:-1].astype(np.float32), solution[-1].astype(np.float32)
    )


def _fit(matrix: Sparse, target: NDArray[np.int64], labels: int, strength: float) -> Floats:
    """The intercepts are the last row."""
    rows, columns = matrix.shape
    penalty = 1 / (strength * rows)
    here = np.arange(rows)

    def objective(point: Floats) -> tuple[float, Floats]:
        weights, intercepts = point[:-1], point[-1]
        probabilities = _softmax(matrix.times(weights) + intercepts)
        loss = -float(np.log(np.maximum(probabilities[here, target], 1e-300)).mean())
        loss += 0.5 * penalty * float(np.sum(weights * weights))
        probabilities[here, target] -= 1
        probabilities /= rows
        gradient = np.empty_like(point)
        gradient[:-1] = matrix.transposed_times(probabilities) + penalty * weights
        gradient[-1] = probabilities.sum(axis=0)
        return loss, gradient

    return minimise(objective, np.zeros((columns + 1, labels)), _TOLERANCE)


def _softmax(scores: Floats) -> Floats:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return found
