"""Drift from requests to an alarm: what is planted is found, and a quiet year stays quiet."""

import math

import numpy as np
import pytest

from appliance.advisor.blocks import Block
from appliance.advisor.costs import Percentiles
from appliance.advisor.drift import BLIND, PROMISE, Watch, advice, looked, read
from appliance.statistics.change import LEAST, LONG, LOOKS, SHORT
from tests.advisor.weeks import watched
from tests.statistics.simulation import rate, within

WINDOWS = {"words": SHORT, "layout": SHORT, "labels": SHORT, "creep": LONG}
EXPECTED = {"words": {"words", "middle"}, "layout": {"words", "middle"}}


def last(random: np.random.Generator, weeks: int, planted: str = "", start: int = 0) -> Watch:
    *_, found = watched(random, weeks, planted, start)
    return found


def found(random: np.random.Generator, planted: str, quiet: int) -> bool:
    """Whether a change after so many quiet looks is found within its window, and not before."""
    start = LEAST + quiet + 1
    watch = last(random, start - 1 + WINDOWS[planted], planted, start)
    return watch.alarm is not None and watch.alarm.week >= start


@pytest.mark.parametrize("planted", WINDOWS)
def test_what_is_planted_is_found_and_named(planted: str) -> None:
    start = LEAST + 4
    watch = last(np.random.default_rng(41), start - 1 + WINDOWS[planted], planted, start)
    assert watch.state == "alarm" and watch.alarm is not None and watch.alarm.week >= start
    assert watch.alarm.statistic in EXPECTED.get(planted, {watch.alarm.statistic})
    assert watch.sentence().startswith("Drift. In the last ") and watch.evidence >= 1
    assert read(watch.document()) == watch
    again = looked(watch, watch.blocks[-1])
    assert again.findings == watch.findings  # an alarm stays as it was said


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("planted", WINDOWS)
def test_ninety_five_of_a_hundred_are_found(planted: str) -> None:
    runs = 200
    share = rate(runs, 42, lambda random: found(random, planted, int(random.integers(40))))
    assert share >= 0.95 - 2 * math.sqrt(0.05 * 0.95 / runs), share


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_a_quiet_year_is_quiet() -> None:
    runs = 200
    share = rate(runs, 43, lambda r: last(r, LEAST + LOOKS).alarm is not None)
    assert within(share, 0.05, runs), share


def test_the_first_weeks_are_learned_and_say_so() -> None:
    states = [watch.state for watch in watched(np.random.default_rng(44), LEAST + SHORT)]
    assert states == ["learning"] * (LEAST + SHORT - 1) + ["quiet"]
    assert Watch("orders").sentence() == "Not watched yet: 16 more weeks until the first look."


def test_after_a_year_the_next_one_has_its_own_budget() -> None:
    random = np.random.default_rng(45)
    watch = Watch("orders")
    for number in range(LEAST + SHORT + LOOKS + 3):
        block = Block(number, 50, {"a": float(random.normal()), "b": float(random.normal())})
        watch = looked(watch, block)
    assert watch.alarm is None
    assert (watch.begun, watch.reference) == (LEAST + LOOKS + SHORT - 27, 24)
    assert read(watch.document()) == watch


def test_after_an_alarm_it_says_what_a_retraining_costs_and_may_bring() -> None:
    watch = last(np.random.default_rng(41), LEAST + 6, "words", LEAST + 4)
    told = " ".join(advice(watch, ((500, 0.6), (1_000, 0.65)), Percentiles(225, 450, 900), "EUR"))
    assert "cost 450.00 EUR (P10 225.00, P90 900.00)" in told and "+5.0 points" in told
    assert "is not known" in " ".join(advice(watch, (), None, ""))
    assert advice(Watch("orders"), (), None, "") == ()


def test_what_is_promised_and_what_is_not_found_is_said() -> None:
    assert "5 %" in PROMISE and "3 weeks" in PROMISE and "12" in PROMISE
    assert any("without labels" in each for each in BLIND)
