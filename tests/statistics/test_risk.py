"""Certified thresholds: the guarantee by simulation, its controls, and their cost."""

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.statistics.risk import certify
from tests.statistics.simulation import rate, within

BOUND, SHAPE, TOP = 0.05, 3.9, 0.19
"""Error TOP * c ** SHAPE among the share c of most confident answers."""

ORACLE = (BOUND / TOP) ** (1 / SHAPE)
GRID = [1 - c for c in np.arange(0.4, 1.0001, 0.025).tolist()]


def draw(random: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    place = random.random(n)
    return 1 - place, random.random(n) < np.minimum(1, TOP * (SHAPE + 1) * place**SHAPE)


def true_risk(threshold: float) -> float:
    return float(TOP * (1 - threshold) ** SHAPE)


def test_the_guarantee_and_the_coverage() -> None:
    covered = []

    def violated(random: np.random.Generator) -> bool:
        scores, wrong = draw(random, 1000)
        found = certify(scores.tolist(), wrong.tolist(), GRID, BOUND)
        covered.append(found.coverage)
        return found.threshold is not None and true_risk(found.threshold) > BOUND

    assert within(rate(600, 16, violated), 0.05, 600)
    assert sum(covered) / 600 > 0.85 * ORACLE


def test_control_the_naive_threshold_violates_the_bound() -> None:
    def violated(random: np.random.Generator) -> bool:
        scores, wrong = draw(random, 1000)
        good = [t for t in GRID if wrong[scores >= t].mean() <= BOUND]
        return bool(good) and true_risk(min(good)) > BOUND

    assert rate(600, 16, violated) > 0.1


def test_control_items_of_large_groups_violate_the_bound() -> None:
    """Twenty groups of fifty items as a thousand groups."""
    accepted = SHAPE + 1

    def outcomes(random: np.random.Generator, groups: int) -> tuple[NDArray[np.float64], ...]:
        place = random.random((groups, 50))
        p = np.clip(TOP * accepted * place**SHAPE, 1e-9, 0.999)
        odds = np.log(p / (1 - p)) + random.normal(0, 2, (groups, 1))
        return 1 - place.ravel(), (1 / (1 + np.exp(-odds))).ravel()

    scores, p = outcomes(np.random.default_rng(0), 20_000)
    truth = {t: float(p[scores >= t].mean()) for t in GRID}

    def violated(random: np.random.Generator) -> bool:
        scores, p = outcomes(random, 20)
        found = certify(scores.tolist(), (random.random(len(p)) < p).tolist(), GRID, BOUND)
        return found.threshold is not None and truth[found.threshold] > BOUND

    assert rate(300, 17, violated) > 0.1


def test_the_steps_stop_at_the_first_failure() -> None:
    scores = [0.9] * 100 + [0.8] * 100 + [0.7] * 800
    wrong = [False] * 100 + [True] * 30 + [False] * 870
    found = certify(scores, wrong, [0.9, 0.8, 0.7], BOUND)
    assert found.threshold == 0.9
    assert found.coverage == 0.1
    assert [step.threshold for step in found.steps] == [
        0.9,
        0.8,
    ]  # 0.7 would hold, and is not asked
    assert certify(scores, wrong, [0.7], BOUND).threshold == 0.7


def test_too_few_certify_nothing() -> None:
    assert certify([0.9] * 58, [False] * 58, [0.5], BOUND) == (None, 0, ())
    assert certify([0.9] * 59, [False] * 59, [0.5], BOUND).threshold == 0.5


def test_what_is_no_question() -> None:
    with pytest.raises(ValueError, match="fall"):
        certify([0.5], [True], [0.1, 0.2], BOUND)
    with pytest.raises(ValueError, match="its outcome"):
        certify([0.5], [], [0.1], BOUND)
