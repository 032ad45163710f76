"""A sparse matrix as rows, for texts: few of very many features.

Rules: columns that many rows have are kept dense, where the processor multiplies fast, and the rest
as lists; both products give the same numbers on the same machine, no matter what ran before.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_DENSE: Final = 0.02
"""Share of the rows from which on a column is dense."""
_MOST_DENSE: Final = 64 << 20
"""Numbers in the dense part."""
_ALONE: Final = 1 << 18
"""Multiplications up to which OpenBLAS wakes no other thread; on a busy host waking costs more."""
_FEWEST: Final = 8
"""Rows of a block; where fewer would have to be, all are multiplied at once."""


class Sparse:
    """Rows of column numbers with values, `columns` in number."""

    def __init__(self, rows: Sequence[Mapping[int, float]], columns: int) -> None:
        self.shape = (len(rows), columns)
        row = np.repeat(np.arange(len(rows)), [len(held) for held in rows])
        column = np.fromiter((c for held in rows for c in held), np.int64, len(row))
        value = np.fromiter((v for held in rows for v in held.values()), np.float64, len(row))
        counts = np.bincount(column, minlength=columns)
        order = np.argsort(-counts, kind="stable")[: _MOST_DENSE // max(1, len(rows))]
        self._common = np.sort(order[counts[order] > max(2.0, _DENSE * len(rows))])
        place = np.full(columns, -1)
        place[self._common] = np.arange(len(self._common))
        inside = place[column] >= 0
        self._dense = np.zeros((len(rows), len(self._common)))
        self._dense[row[inside], place[column[inside]]] = value[inside]
        self._rows = _Lists(row[~inside], column[~inside], value[~inside])
        self._columns = _Lists(column[~inside], row[~inside], value[~inside])

    def times(self, right: Floats | NDArray[np.float32]) -> Floats:
        """Only the needed rows of the dense matrix become 64 bits."""
        common = right[self._common].astype(np.float64)
        found = np.empty((self.shape[0], right.shape[1]))
        for block in self._blocks(right.shape[1]):
            found[block] = self._dense[block] @ common
        self._rows.add_products(right, found)
        return found

    def transposed_times(self, right: Floats) -> Floats:
        found = np.zeros((self.shape[1], right.shape[1]))
        common = np.zeros((len(self._common), right.shape[1]))
        for block in self._blocks(right.shape[1]):
            common += self._dense[block].T @ right[block]
        found[self._common] = common
        self._columns.add_products(right, found)
        return found

    def _blocks(self, width: int) -> list[slice]:
        """Few rows are multiplied together, so that the caller's thread does it."""
        step = _ALONE // max(1, len(self._common) * width)
        step = step if step >= _FEWEST else max(1, self.shape[0])
        return [slice(start, start + step) for start in range(0, self.shape[0], step)]


class _Lists:
    """For each target the sources that are added up into it."""

    def __init__(self, target: NDArray[np.int64], source: NDArray[np.int64], value: Floats) -> None:
        order = np.lexsort((source, target))
        ordered = target[order]
        self._source = source[order]
        self._value = value[order]
        self._starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        self._starts = self._starts[: len(ordered)]
        self._targets = ordered[self._starts] if len(ordered) else ordered

    def add_products(self, right: Floats | NDArray[np.float32], into: Floats) -> None:
        if len(self._targets):
            products = right[self._source] * self._value[:, None]
            into[self._targets] += np.add.reduceat(products, self._starts, axis=0)
