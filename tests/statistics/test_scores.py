"""The calibration error: order, corners, and chance."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from appliance.statistics import scores


def calibration(confidence: Sequence[float], right: Sequence[bool]) -> float:
    return scores.calibration_error(confidence, right, range(len(right))).value


def test_ties_do_not_depend_on_the_order() -> None:
    draw = random.Random(1)
    data = [(round(draw.random(), 1), draw.random() < 0.6) for _ in range(60)]
    first = calibration(*zip(*data, strict=True))
    draw.shuffle(data)
    assert calibration(*zip(*data, strict=True)) == pytest.approx(first, abs=1e-12)


def test_perfect_and_useless_confidence() -> None:
    assert calibration([1, 1, 0, 0], [True, True, False, False]) == 0
    assert calibration([1, 1], [False, False]) == pytest.approx(1)


def test_what_has_no_score() -> None:
    with pytest.raises(ValueError, match="its outcome"):
        calibration([], [])
    with pytest.raises(ValueError, match="probabilities"):
        calibration([1.5], [True])


@pytest.mark.parametrize(("groups", "items"), [(50, 1), (50, 5), (200, 1)])
@pytest.mark.parametrize("off", [0.0, 0.1])
def test_a_calibration_error_is_not_chance(groups: int, items: int, off: float) -> None:
    """Its interval covers; the control, the plain sum of gaps, is far too large."""
    draw, runs = np.random.default_rng(5), 200
    names = np.repeat(np.arange(groups), items).tolist()
    found, plain, missed = [], [], 0
    for _ in range(runs):
        told = draw.uniform(0.3, 1, len(names))
        right = draw.random(len(names)) < told - off
        one = scores.calibration_error(told.tolist(), right.tolist(), names)
        missed += not one.interval.low - 1e-9 <= off <= one.interval.high + 1e-9
        found.append(one.value)
        bins = np.clip(np.ceil(told * 10).astype(int) - 1, 0, 9)
        plain.append(np.abs(np.bincount(bins, right - told)).sum() / len(names))
    assert missed / runs <= 0.05 + 2 * (0.05 * 0.95 / runs) ** 0.5
    assert abs(np.mean(found) - off) <= 0.015 if off else np.mean(found) <= 0.7 * np.mean(plain)
