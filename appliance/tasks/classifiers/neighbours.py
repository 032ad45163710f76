"""The labels of the nearest training texts, by the vectors of an embedding model.

Rules: the `NEAREST` by cosine vote with weights that fall with the distance; at equal distance the
smaller label votes first; every label has a little probability. The caller embeds texts, with the
model and the prefix of the training texts.
Source: Cover & Hart, IEEE Trans. Inf. Theory 13, 1967; Dudani, IEEE Trans. SMC 6, 1976.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

NEAREST: Final = 7
_SHARPNESS: Final = 20.0
_FLOOR: Final = 0.01
_BLOCK: Final = 256


@dataclass(frozen=True, eq=False)
class NeighbourModel:
    """Training vectors of length 1 and their labels.

    Attributes:
        embedder: digest of the vectors' model.
    """

    labels: tuple[str, ...]
    embedder: str
    vectors: NDArray[np.float32]
    places: NDArray[np.int64]
    nearest: int = NEAREST

    def probabilities(self, vectors: ArrayLike) -> NDArray[np.float64]:
        """(vectors, labels)."""
        asked = _unit(vectors)
        if asked.shape[1] != self.vectors.shape[1]:
            raise ValueError("vectors of another model have another length")
        found = np.full((len(asked), len(self.labels)), _FLOOR / len(self.labels))
        count = min(self.nearest, len(self.vectors))
        for start in range(0, len(asked), _BLOCK):
            cosine = asked[start : start + _BLOCK] @ self.vectors.T
            order = np.argsort(-cosine, axis=1, kind="stable")[:, :count]
            near = np.take_along_axis(cosine, order, axis=1).astype(np.float64)
            votes = np.exp(_SHARPNESS * (near - near[:, :1]))
            votes *= (1 - _FLOOR) / votes.sum(axis=1, keepdims=True)
            for row, (places, weight) in enumerate(zip(self.places[order], votes, strict=True)):
                np.add.at(found[start + row], places, weight)
        return found


def fit_neighbours(
    vectors: ArrayLike, labels: Sequence[str], embedder: str, nearest: int = NEAREST
) -> NeighbourModel:
    """Sorted by label, then by numbers. Raises ValueError as `fit_linear`."""
    names = tuple(sorted(set(labels)))
    units = _unit(vectors)
    if len(units) != len(labels) or len(names) < 2:
        raise ValueError("neighbours need a label for each vector, and two labels")
    place = {name: n for n, name in enumerate(names)}
    places = np.array([place[label] for label in labels], dtype=np.int64)
    order = np.lexsort((*units.T[::-1], places))
    return NeighbourModel(names, embedder, units[order], places[order], nearest)


def _unit(vectors: ArrayLike) -> NDArray[np.float32]:
    found = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return (found / np.where(length > 0, length, 1)).astype(np.float32)
