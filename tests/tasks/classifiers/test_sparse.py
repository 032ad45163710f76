"""Products of sparse matrices are those of dense ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.tasks.classifiers import sparse
from appliance.tasks.classifiers.sparse import Sparse

ROWS = st.lists(st.dictionaries(st.integers(0, 8), st.floats(-3, 3), max_size=9), min_size=1)


@given(ROWS, st.sampled_from([0.0, 0.3, 2.0]))
def test_products(rows: list[dict[int, float]], share: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse, "_DENSE", share)  # all, some or no column is dense
        matrix = Sparse(rows, 9)
    dense = np.zeros((len(rows), 9))
    for number, row in enumerate(rows):
        for column, value in row.items():
            dense[number, column] = value
    right = np.arange(27, dtype=float).reshape(9, 3)
    left = np.arange(len(rows) * 2, dtype=float).reshape(len(rows), 2)
    assert np.allclose(matrix.times(right), dense @ right)
    assert np.allclose(matrix.transposed_times(left), dense.T @ left)


def test_a_matrix_without_rows() -> None:
    assert Sparse([], 4).times(np.ones((4, 2))).shape == (0, 2)
    assert Sparse([{}], 4).transposed_times(np.ones((1, 2))).tolist() == [[0, 0]] * 4
