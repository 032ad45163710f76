"""The distance of two distributions."""

import numpy as np
import pytest

from appliance.engine.quantized import divergence


def test_divergence_is_that_of_the_definition() -> None:
    one, other = np.log([[0.5, 0.5], [0.9, 0.1]]), np.log([[0.5, 0.5], [0.5, 0.5]])
    expected = 0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5)
    assert divergence(one, other) == pytest.approx([0, expected])
    assert divergence(other, one)[1] != pytest.approx(expected)  # it has a direction
