"""Calibration: shapes of the functions, their JSON, what is refused of it."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import Refused
from appliance.statistics import calibration
from appliance.statistics.calibration import Isotonic
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


def test_calibration_mends_what_is_overconfident() -> None:
    random = np.random.default_rng(3)
    truth = random.random(4000)
    right = (random.random(4000) < truth).tolist()
    scores = (truth**0.3).tolist()
    half = 2000
    names = range(half)
    before = calibration_error(scores[half:], right[half:], names).value
    fitted = calibration.fit_isotonic(scores[:half], right[:half])
    after = calibration_error(fitted.apply(scores[half:]).tolist(), right[half:], names)
    assert after.value < before / 3


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {},
        {"kind": "pickle"},
        {"kind": "logistic", "slope": 1.0, "intercept": 0.0},
        {"kind": "isotonic", "scores": [float("nan")], "probabilities": [0]},
        {"kind": "isotonic", "scores": [True], "probabilities": [0]},
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
    with pytest.raises(ValueError, match="its outcome"):
        calibration.fit_isotonic([float("nan")], [True])
    assert Isotonic((0.0,), (0.5,)).apply([-9, 9]).tolist() == [0.5, 0.5]
