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
    """Items of a group go together: bets on items would fire."""

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
        {"starts": 1},
        {"starts": 400, "restarted": [0.0] * 6},
        {"restarted": [0.0] * 6},
        {"more": 1},
    ],
)
def test_a_state_that_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        betting.read(Monitor(0.1).state() | change)
    assert refused.value.code == "coefficients_invalid"


def year(random: np.random.Generator, good: int, bad: float, labels: int, starts: bool) -> bool:
    """True for an alarm in a year of days, the first `good` of them at the bound."""
    monitor = Monitor(0.05)
    if not starts:  # the monitor as it was: all capital bets from the first day on
        monitor = Monitor(0.05, starts=betting.STARTS, restarted=[-np.inf] * len(betting.STAKES))
    for day in range(365):
        truth = 0.05 if day >= good and bad == 0 else (0.02 if day < good else bad)
        monitor.observe(random.binomial(labels, truth) / labels)
        if monitor.alarm(0.05 if starts else 0.1):  # its half of the capital was the whole
            return True
    return False


def test_good_months_do_not_blind_it() -> None:
    """25 % wrong after 300 good days at two labels a day; without restarts hardly found."""
    assert rate(100, 21, lambda r: year(r, 300, 0.25, 2, starts=True)) > 0.95
    assert rate(100, 22, lambda r: year(r, 300, 0.25, 2, starts=False)) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("labels", [2, 5, 20])
@pytest.mark.parametrize(("good", "found"), [(0, 0.97), (90, 0.85), (180, 0.6), (300, 0.08)])
def test_a_doubled_error_after_good_days(labels: int, good: int, found: float) -> None:
    assert rate(200, 23 + good, lambda r: year(r, good, 0.10, labels, starts=True)) > found


@pytest.mark.slow
@pytest.mark.parametrize("labels", [2, 5, 20])
def test_false_alarms_in_a_year_of_days(labels: int) -> None:
    assert within(rate(400, 24, lambda r: year(r, 0, 0, labels, starts=True)), 0.05, 400)


def test_a_state_of_an_earlier_version_goes_on() -> None:
    old = {"bound": 0.05, "wealth": [-1.0] * 6, "groups": 200, "peak": 0.3}
    monitor = betting.read(old)
    assert monitor.evidence == pytest.approx(0.5 * np.exp(-1) + 0.5)
    before = monitor.evidence
    assert monitor.observe(1) > before
    assert (monitor.groups, monitor.starts) == (201, 1)


def test_what_is_no_bet() -> None:
    with pytest.raises(ValueError, match="strictly"):
        Monitor(1)
    with pytest.raises(ValueError, match="within"):
        Monitor(0.5).observe(1.5)


def test_a_light_group_bets_little() -> None:
    heavy, light, none = Monitor(0.05), Monitor(0.05), Monitor(0.05)
    heavy.observe(1.0)
    light.observe(1.0, 0.1)
    none.observe(1.0, 0.0)
    assert heavy.evidence > light.evidence > none.evidence == pytest.approx(1.0)
    for weight in (-0.1, 1.1):
        with pytest.raises(ValueError, match="within 0 and 1"):
            heavy.observe(0.0, weight)
