"""The monitor: false alarms however often one looks, windows of detection, its state."""

import json
from typing import Any

import numpy as np
import pytest

from appliance.errors import Refused
from appliance.statistics import betting
from appliance.statistics.betting import Monitor
from tests.statistics.simulation import rate, within


def labels_until_alarm(random: np.random.Generator, truth: float, most: int) -> int | None:
    monitor = Monitor(0.05)
    for count, wrong in enumerate(random.random(most) < truth, 1):
        if monitor.observe(float(wrong)) >= 20:
            return count
    return None


def test_false_alarms_in_a_year_of_daily_looks() -> None:
    def alarmed(random: np.random.Generator) -> bool:
        return labels_until_alarm(random, 0.05, 700) is not None

    assert within(rate(300, 18, alarmed), 0.05, 300)


def test_ten_percent_is_found_within_two_hundred_labels() -> None:
    random = np.random.default_rng(19)
    found = [labels_until_alarm(random, 0.10, 2000) or 2001 for _ in range(200)]
    assert np.median(found) <= 200


def test_groups_bet_once() -> None:
    """Shares of groups whose items go together: bets on items would fire."""

    def shares(random: np.random.Generator) -> Any:
        return (random.random(60) < 0.05).astype(float)  # a group is all right or all wrong

    def by_group(random: np.random.Generator) -> bool:
        monitor = Monitor(0.05)
        for share in shares(random):
            monitor.observe(share)
        return monitor.alarm(0.05)

    def by_item(random: np.random.Generator) -> bool:
        monitor = Monitor(0.05)
        for share in shares(random):
            for _ in range(10):
                monitor.observe(share)
        return monitor.alarm(0.05)

    assert within(rate(300, 20, by_group), 0.05, 300)
    assert rate(300, 20, by_item) > 0.3


def test_the_alarm_stays() -> None:
    monitor = Monitor(0.05)
    for _ in range(5):
        monitor.observe(1)
    assert monitor.alarm(0.05)
    for _ in range(500):
        monitor.observe(0)
    assert monitor.evidence < 1
    assert monitor.alarm(0.05)
    assert monitor.groups == 505


def test_the_state_survives_json() -> None:
    monitor = Monitor(0.1)
    for share in (0, 1, 0.25, 0):
        monitor.observe(share)
    again = betting.read(json.loads(json.dumps(monitor.state())))
    assert again == monitor
    assert again.observe(1) == monitor.observe(1)


@pytest.mark.parametrize(
    "change",
    [
        {"bound": 0},
        {"bound": "0.1"},
        {"wealth": [0.0]},
        {"wealth": None},
        {"wealth": [float("nan")] * 6},
        {"groups": -1},
        {"groups": 1.5},
        {"peak": float("inf")},
        {"more": 1},
    ],
)
def test_a_state_that_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        betting.read(Monitor(0.1).state() | change)
    assert refused.value.code == "coefficients_invalid"


def test_what_is_no_bet() -> None:
    with pytest.raises(ValueError, match="strictly"):
        Monitor(1)
    with pytest.raises(ValueError, match="within"):
        Monitor(0.5).observe(1.5)
