"""Calibration: shapes of the functions, their JSON, what is refused of it."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import Refused
from appliance.statistics import calibration
from appliance.statistics.calibration import Isotonic, Logistic
from appliance.statistics.scores import calibration_error

OUTCOMES = st.lists(st.tuples(st.floats(-5, 5), st.booleans()), min_size=1, max_size=60)


@given(OUTCOMES)
def test_an_isotonic_function_never_falls_and_survives_json(data: list[tuple[float, bool]]) -> None:
    scores, right = zip(*data, strict=True)
    fitted = calibration.fit_isotonic(scores, right)
    values = fitted.apply(np.linspace(-6, 6, 50).tolist())
    assert (np.diff(values) >= -1e-12).all()
    assert values.min() >= 0
    assert values.max() <= 1 + 1e-12
    assert float(np.mean(fitted.apply(scores))) == pytest.approx(np.mean(right), abs=1e-9)
    assert calibration.read(json.loads(json.dumps(fitted.coefficients()))) == fitted


@given(OUTCOMES)
def test_a_logistic_function_is_finite_and_survives_json(data: list[tuple[float, bool]]) -> None:
    scores, right = zip(*data, strict=True)
    fitted = calibration.fit_logistic(scores, right)
    assert math.isfinite(fitted.slope)
    assert math.isfinite(fitted.intercept)
    assert calibration.read(json.loads(json.dumps(fitted.coefficients()))) == fitted


def test_calibration_mends_what_is_overconfident() -> None:
    random = np.random.default_rng(3)
    truth = random.random(4000)
    right = (random.random(4000) < truth).tolist()
    scores = (truth**0.3).tolist()
    half = 2000
    names = range(half)
    before = calibration_error(scores[half:], right[half:], names).value
    for fit in (calibration.fit_isotonic, calibration.fit_logistic):
        fitted = fit(scores[:half], right[:half])
        after = calibration_error(fitted.apply(scores[half:]).tolist(), right[half:], names)
        assert after.value < before / 3


def test_all_right_is_not_certainty() -> None:
    fitted = calibration.fit_logistic([1, 2, 3], [True, True, True])
    assert fitted.apply([5])[0] == pytest.approx(3.5 / 4)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {},
        {"kind": "pickle"},
        {"kind": "logistic", "slope": 1},
        {"kind": "logistic", "slope": float("nan"), "intercept": 0},
        {"kind": "logistic", "slope": True, "intercept": 0},
        {"kind": "isotonic", "scores": [], "probabilities": []},
        {"kind": "isotonic", "scores": [0, 0], "probabilities": [0, 1]},
        {"kind": "isotonic", "scores": [0, 1], "probabilities": [1, 0]},
        {"kind": "isotonic", "scores": [0, 1], "probabilities": [0, 1.5]},
        {"kind": "isotonic", "scores": [0, 1], "probabilities": [0]},
        {"kind": "isotonic", "scores": "01", "probabilities": [0, 1]},
        {"kind": "isotonic", "scores": [0], "probabilities": [0], "more": 1},
    ],
)
def test_coefficients_that_are_refused(wrong: Any) -> None:
    with pytest.raises(Refused) as refused:
        calibration.read(wrong)
    assert refused.value.code == "coefficients_invalid"


def test_what_cannot_be_fitted() -> None:
    for fit in (calibration.fit_isotonic, calibration.fit_logistic):
        with pytest.raises(ValueError, match="its outcome"):
            fit([float("nan")], [True])
    with pytest.raises(ValueError, match="positive"):
        calibration.fit_logistic([1], [True], 0)
    assert Isotonic((0.0,), (0.5,)).apply([-9, 9]).tolist() == [0.5, 0.5]
    assert Logistic(1e6, 0.0).apply([-1, 1]).tolist() == [0, 1]
