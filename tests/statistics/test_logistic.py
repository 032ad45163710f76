"""Logistic regression on several features."""

import numpy as np
import pytest

from appliance.statistics import logistic


def drawn(n: int = 4_000) -> tuple[np.ndarray, list[bool]]:
    generator = np.random.default_rng(5)
    x = generator.normal(3, 2, (n, 2))
    p = 1 / (1 + np.exp(-(0.8 * x[:, 0] - 0.5 * x[:, 1] - 1)))
    return x, (generator.random(n) < p).tolist()


def test_what_was_planted_is_found() -> None:
    x, right = drawn()
    found = logistic.fit(x.tolist(), right)
    assert found.weights == pytest.approx((0.8, -0.5), abs=0.06)
    assert found.intercept == pytest.approx(-1, abs=0.2)
    assert np.mean([found.apply(row) for row in x.tolist()]) == pytest.approx(np.mean(right), 1e-3)


def test_a_feature_that_does_not_vary_weighs_nothing() -> None:
    x, right = drawn(500)
    rows = np.column_stack([x, np.full(500, -7.0)]).tolist()
    assert logistic.fit(rows, right).weights[2] == 0


def test_separable_and_one_sided_outcomes_have_a_finite_answer() -> None:
    found = logistic.fit([[0.0], [1.0], [2.0], [3.0]], [False, False, True, True])
    assert 0 < found.weights[0] < 10
    assert logistic.fit([[0.0], [1.0]], [True, True]).apply([9.0]) == pytest.approx(5 / 6)
    assert found.apply([-1e6]) < 1e-6 < found.apply([1e6])


@pytest.mark.parametrize(
    ("rows", "right", "penalty"),
    [
        ([], [], 1.0),
        ([[1.0]], [True, False], 1.0),
        ([[float("nan")]], [True], 1.0),
        ([[1.0]], [True], 0.0),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    rows: list[list[float]], right: list[bool], penalty: float
) -> None:
    with pytest.raises(ValueError, match=r"row|penalty"):
        logistic.fit(rows, right, penalty)
