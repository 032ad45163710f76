"""Conformal evidence: means and levels by simulation, and that a change is seen."""

import numpy as np
import pytest

from appliance.statistics.conformal import Jumper, e_value, p_value
from tests.statistics.simulation import rate, within


def test_an_e_value_has_mean_one_when_nothing_changed() -> None:
    random = np.random.default_rng(21)
    values = [
        e_value(scores[:-1], scores[-1]) for scores in random.exponential(size=(4000, 21)).tolist()
    ]
    assert np.mean(values) == pytest.approx(1, abs=4 * np.std(values) / 4000**0.5)


def test_a_p_value_holds_its_level() -> None:
    def small(random: np.random.Generator) -> bool:
        scores = random.random(40).tolist()
        return p_value(scores[:-1], scores[-1]) <= 0.05

    assert within(rate(2000, 22, small), 0.05, 2000)
    assert p_value([0.1] * 19, 5) == 0.05


def stream(random: np.random.Generator, shift: float) -> float:
    jumper = Jumper()
    top = 0.0
    scores = random.normal(0, 1, 150)
    scores[75:] += shift
    for score in scores.tolist():
        top = max(top, jumper.observe(score, random.random()))
    return top


def test_the_jumper_rarely_cries_on_an_unchanged_stream_and_sees_a_change() -> None:
    assert within(rate(200, 23, lambda r: stream(r, 0) >= 20), 0.05, 200)
    assert rate(60, 24, lambda r: stream(r, 2) >= 20) > 0.9


def test_corners() -> None:
    assert e_value([0, 0], 0) == 1
    assert e_value([0] * 9, 1) == 10
    assert Jumper().evidence == 1
    with pytest.raises(ValueError, match="not negative"):
        e_value([], 1)
