"""The minimiser finds known minima."""

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.tasks.classifiers.minimise import minimise

Floats = NDArray[np.float64]


def test_a_badly_scaled_quadratic() -> None:
    scale = np.logspace(0, 4, 20)

    def objective(x: Floats) -> tuple[float, Floats]:
        return float(0.5 * np.sum(scale * (x - 3) ** 2)), scale * (x - 3)

    assert minimise(objective, np.zeros(20), 1e-8) == pytest.approx(np.full(20, 3.0), abs=1e-4)


def test_rosenbrock() -> None:
    def objective(p: Floats) -> tuple[float, Floats]:
        x, y = p
        value = (1 - x) ** 2 + 100 * (y - x * x) ** 2
        return float(value), np.array([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])

    assert minimise(objective, np.array([-1.2, 1.0]), 1e-8) == pytest.approx([1, 1], abs=1e-5)


def test_it_stops_where_it_stands_and_after_its_steps() -> None:
    calls = []

    def objective(x: Floats) -> tuple[float, Floats]:
        calls.append(1)
        return float(np.sum(x * x)), 2 * x

    assert minimise(objective, np.zeros(3), 1e-6).tolist() == [0, 0, 0]
    assert len(calls) == 1
    minimise(objective, np.ones(3), 0.0, steps=3)
    assert len(calls) < 60
