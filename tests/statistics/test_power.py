"""Planning: known numbers, and plans that keep their promise."""

import numpy as np
import pytest

from appliance.statistics import power
from appliance.statistics.groups import paired_difference
from appliance.statistics.proportions import upper_limit


def test_groups_without_an_error() -> None:
    assert [power.groups_without_error(b) for b in (0.1, 0.05, 0.02, 0.01)] == [29, 59, 149, 299]
    with pytest.raises(ValueError, match="probabilities"):
        power.groups_without_error(0)


def test_groups_for_a_certificate() -> None:
    needed = power.groups_for_bound(0.05, 0.02)
    assert needed is not None
    assert 200 < needed < 320
    allowed = power.allowed_errors(0.05, needed)
    assert upper_limit(allowed, needed, 0.05) <= 0.05 < upper_limit(allowed + 1, needed, 0.05)
    assert power.groups_for_bound(0.05, 0.05) is None
    assert power.groups_for_bound(0.05, 0.0499, limit=5000) is None
    assert power.allowed_errors(0.05, 58) == -1
    assert power.allowed_errors(0.05, 59) == 0


def test_effect_and_groups_undo_each_other() -> None:
    effect = power.smallest_effect(300, 0.4)
    assert power.groups_for_difference(effect, 0.4) == 300
    assert power.groups_for_difference(0.03, 0.4, -0.03) is None
    assert power.groups_for_difference(0.02, 0.1**0.5) == 1546  # 6.18 * 0.1 / 0.02 ** 2
    with pytest.raises(ValueError, match="positive"):
        power.smallest_effect(0, 0.4)
    with pytest.raises(ValueError, match="spread is positive"):
        power.groups_for_difference(0.1, 0)


def test_the_planned_number_of_groups_has_the_power() -> None:
    needed = power.groups_for_difference(0.06, 0.2**0.5)
    assert needed is not None
    random = np.random.default_rng(8)
    passed = 0
    for _ in range(400):
        gaps = random.choice([1, -1, 0], needed, p=[0.1, 0.1, 0.8])
        low, _ = paired_difference((gaps > 0).tolist(), (gaps < 0).tolist(), range(needed)).interval
        passed += low > -0.06
    assert passed / 400 > 0.75
