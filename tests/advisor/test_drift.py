"""Drift from requests to an alarm: what is planted is found, and a quiet year stays quiet.

`pytest -s -m slow` prints the figures of docs/method-guide.md with their intervals.
"""

import copy
import math
from collections import Counter

import msgspec
import numpy as np
import pytest

from appliance.advisor.blocks import WeekBlock
from appliance.advisor.costs import Percentiles
from appliance.advisor.drift import BLIND, PROMISE, Watch, advice, looked
from appliance.statistics import change
from appliance.statistics.change import LEAST, LONG, LOOKS, SHORT
from tests.advisor.weeks import Source, strength_after, watched
from tests.statistics.simulation import rate, show, within
from tests.statistics.test_change import blocks, look_at_large

pytestmark = pytest.mark.long

WINDOWS = {"words": SHORT, "layout": SHORT, "labels": SHORT, "creep": LONG}
EXPECTED = {"words": {"unknown", "middle"}, "layout": {"unknown", "middle"}}


def last(random: np.random.Generator, weeks: int, planted: str = "", start: int = 0) -> Watch:
    *_, found = watched(random, weeks, planted, start)
    return found


def found(random: np.random.Generator, quiet: int) -> dict[str, bool]:
    """True for each change after quiet looks that is found within its window, and not before."""
    source = Source.begin(random)
    before = Watch("orders", source.known)
    for _ in range(LEAST + quiet):
        before = looked(before, source.next())
    told = {}
    for planted, window in WINDOWS.items():
        then, watch = copy.copy(source), before
        for number in range(1, window + 1):
            watch = looked(watch, then.next(planted, strength_after(planted, number)))
        told[planted] = before.alarm is None and watch.alarm is not None
    return told


def two_years(random: np.random.Generator, together: float) -> tuple[bool, bool]:
    """True for an alarm in the first year, and in one of two, without a change."""
    values = blocks(random, LEAST + SHORT + 2 * LOOKS, together)
    watch = Watch("orders")
    for number, row in enumerate(values):
        named = {f"s{at}": float(value) for at, value in enumerate(row)}
        watch = looked(watch, WeekBlock(number, 50, named))
    alarm = watch.alarm
    return alarm is not None and alarm.week < LEAST + LOOKS, alarm is not None


@pytest.fixture
def large_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole years quickly: no look where no rank could make an alarm."""
    monkeypatch.setattr(change, "look", look_at_large)


@pytest.mark.parametrize("planted", WINDOWS)
def test_what_is_planted_is_found_and_named(planted: str) -> None:
    start = LEAST + 4
    watch = last(np.random.default_rng(41), start - 1 + WINDOWS[planted], planted, start)
    assert watch.state == "alarm" and watch.alarm is not None and watch.alarm.week >= start
    assert watch.alarm.statistic in EXPECTED.get(planted, {watch.alarm.statistic})
    assert watch.sentence().startswith("Drift. In the last ") and watch.evidence >= 1
    assert msgspec.json.decode(msgspec.json.encode(watch), type=Watch) == watch
    again = looked(watch, watch.blocks[-1])
    assert again.findings == watch.findings  # an alarm stays as it was said


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.usefixtures("large_only")
def test_ninety_five_of_a_hundred_are_found() -> None:
    runs, random = 200, np.random.default_rng(42)
    told = [found(random, int(random.integers(40))) for _ in range(runs)]
    counted = Counter(planted for each in told for planted, hit in each.items() if hit)
    for planted, window in WINDOWS.items():
        share = counted[planted] / runs
        show(f"{planted} found within {window} weeks", share, runs)
        assert share >= 0.95 - 2 * math.sqrt(0.05 * 0.95 / runs), (planted, share)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.usefixtures("large_only")
def test_a_quiet_year_is_quiet() -> None:
    runs = 200
    share = rate(runs, 43, lambda r: last(r, LEAST + LOOKS).alarm is not None)
    show("years of requests with a false alarm", share, runs)
    assert within(share, 0.05, runs), share


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.usefixtures("large_only")
@pytest.mark.parametrize("together", [0.0, 0.6])
def test_two_quiet_years_are_quiet(together: float) -> None:
    """The second year's reference is the end of the first."""
    runs, random = 400, np.random.default_rng(46)
    told = [two_years(random, together) for _ in range(runs)]
    for what, number in (("first", 0), ("first two", 1)):
        share = sum(each[number] for each in told) / runs
        show(f"{what} years with a false alarm, days together {together}", share, runs)
        assert within(share, 0.05 * (number + 1), runs), share


def test_the_first_weeks_are_learned_and_say_so() -> None:
    states = [watch.state for watch in watched(np.random.default_rng(44), LEAST + SHORT)]
    assert states == ["learning"] * (LEAST + SHORT - 1) + ["quiet"]
    assert Watch("orders").sentence() == "Not watched yet: 16 more weeks until the first look."


@pytest.mark.usefixtures("large_only")
def test_after_a_year_the_next_one_has_its_own_budget() -> None:
    random = np.random.default_rng(45)
    watch = Watch("orders")
    for number in range(LEAST + SHORT + LOOKS + 3):
        block = WeekBlock(number, 50, {"a": float(random.normal()), "b": float(random.normal())})
        watch = looked(watch, block)
    assert watch.alarm is None
    assert (watch.begun, watch.reference) == (LEAST + LOOKS + SHORT - 27, 24)
    assert msgspec.json.decode(msgspec.json.encode(watch), type=Watch) == watch


def test_after_an_alarm_it_says_what_a_retraining_costs_and_may_bring() -> None:
    watch = last(np.random.default_rng(41), LEAST + 6, "words", LEAST + 4)
    told = " ".join(advice(watch, ((500, 0.6), (1_000, 0.65)), Percentiles(225, 450, 900), "EUR"))
    assert "cost 450.00 EUR (P10 225.00, P90 900.00)" in told and "+5.0 points" in told
    assert "is not known" in " ".join(advice(watch, (), None, ""))
    assert advice(Watch("orders"), (), None, "") == ()


def test_what_is_promised_and_what_is_not_found_is_said() -> None:
    assert "5 %" in PROMISE and "3 weeks" in PROMISE and "12" in PROMISE
    assert any("without labels" in each for each in BLIND)
