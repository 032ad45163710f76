"""Scores of confidence: ties, order, corners."""

import random

import pytest

from appliance.statistics import scores


def test_ties_do_not_depend_on_the_order() -> None:
    draw = random.Random(1)
    data = [(round(draw.random(), 1), draw.random() < 0.6) for _ in range(60)]
    for score in (scores.auroc, scores.aurc, scores.brier, scores.calibration_error):
        first = score(*zip(*data, strict=True))
        draw.shuffle(data)
        assert score(*zip(*data, strict=True)) == pytest.approx(first, abs=1e-12)


def test_area_under_the_risk_coverage_curve_by_hand() -> None:
    assert scores.aurc([0.9, 0.8, 0.7], [True, False, True]) == pytest.approx(
        (0 + 1 / 2 + 1 / 3) / 3
    )
    assert scores.aurc([0.5, 0.5], [True, False]) == pytest.approx(0.5)
    coverage, risk = scores.risk_coverage([0.9, 0.5, 0.5, 0.1], [True, False, True, False])
    assert coverage.tolist() == [0.25, 0.75, 1]
    assert risk.tolist() == [0, pytest.approx(1 / 3), 0.5]


def test_perfect_and_useless_confidence() -> None:
    assert scores.auroc([0.9, 0.1], [True, False]) == 1
    assert scores.auroc([0.5, 0.5], [True, False]) == 0.5
    assert scores.calibration_error([1, 1, 0, 0], [True, True, False, False]) == 0
    assert scores.calibration_error([1, 1], [False, False]) == 1


def test_what_has_no_score() -> None:
    with pytest.raises(ValueError, match="right and wrong"):
        scores.auroc([0.5], [True])
    with pytest.raises(ValueError, match="its outcome"):
        scores.brier([], [])
    with pytest.raises(ValueError, match="probabilities"):
        scores.calibration_error([1.5], [True])
