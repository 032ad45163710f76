"""Changes of the last weeks: simulated years, days that go together, and controls."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from appliance.statistics.change import (
    DELTA,
    LEAST,
    LONG,
    LOOKS,
    SHORT,
    SMALLEST,
    Floats,
    WindowLook,
    _differences,
    level,
    look,
)
from tests.statistics.simulation import rate, show, within

STATISTICS = 8


def days(random: np.random.Generator, weeks: int, together: float) -> Floats:
    """One row a day, like the day before."""
    noise = random.normal(size=(weeks * 7, STATISTICS))
    found = np.empty_like(noise)
    found[0] = noise[0]
    for day in range(1, len(noise)):
        found[day] = together * found[day - 1] + math.sqrt(1 - together**2) * noise[day]
    return found


def blocks(
    random: np.random.Generator, weeks: int = LEAST + LOOKS, together: float = 0.6
) -> Floats:
    averaged: Floats = days(random, weeks, together).reshape(weeks, 7, -1).mean(axis=1)
    return averaged


def looks(values: Floats, first: int, last: int) -> list[WindowLook]:
    found = (
        look(values[:count], window, LEAST)
        for count in range(LEAST + first, LEAST + last + 1)
        for window in (SHORT, LONG)
    )
    return [each for each in found if each is not None]


def large(values: Floats, window: int) -> bool:
    """True if the last weeks differ enough for an alarm, whatever the rank."""
    varying = values[:, np.ptp(values, axis=0) > 0]
    seen = (varying - varying.mean(axis=0)) / varying.std(axis=0)
    last = np.zeros((1, len(values)))
    last[0, -window:] = 1.0
    return bool(_differences(seen, last).max(initial=0.0) >= SMALLEST[window] * (1 - 1e-9))


def look_at_large(values: Floats, window: int, reference: int) -> WindowLook | None:
    """None also where the difference is too small for an alarm."""
    enough = len(values) >= max(reference + SHORT, 2 * window)
    return look(values, window, reference) if enough and large(values, window) else None


def alarm(values: Floats, first: int = 1, last: int = LOOKS) -> bool:
    for count in range(LEAST + first, LEAST + last + 1):
        for window in (SHORT, LONG):
            found = look_at_large(values[:count], window, LEAST)
            if found is not None and found.alarm:
                return True
    return False


def abrupt(random: np.random.Generator, start: int, spreads: float) -> bool:
    """True if a step after `start` quiet weeks is found within three."""
    values = blocks(random, LEAST + start + SHORT)
    values[LEAST + start :, 0] += spreads * values[: LEAST + start, 0].std()
    return alarm(values, start + 1, start + SHORT)


def creeping(random: np.random.Generator, start: int, spreads: float) -> bool:
    """True if a climb after `start` quiet weeks is found within twelve."""
    values = blocks(random, LEAST + start + LONG)
    values[LEAST + start :, 0] += (
        spreads * values[: LEAST + start, 0].std() * np.arange(1, LONG + 1) / LONG
    )
    return alarm(values, start + 1, start + LONG)


def weekly_p_values(random: np.random.Generator) -> bool:
    """The control: each week against the reference at 5 %."""
    values = blocks(random)
    middle, spread = values[:LEAST].mean(axis=0), values[:LEAST].std(axis=0, ddof=1)
    return bool((np.abs(values[LEAST:] - middle) / spread > 1.96).any())


def days_as_if_independent(random: np.random.Generator) -> bool:
    """The control: the same budget of a year, but a week counts as seven days."""
    seen = days(random, LEAST + LOOKS, 0.6)
    old = seen[: LEAST * 7]
    middle, spread = old.mean(axis=0), old.std(axis=0, ddof=1)
    new = seen[LEAST * 7 :].reshape(LOOKS, 7, -1).mean(axis=1)
    limit = 3.7  # 0.05 over 52 looks and 8 statistics, two-sided
    return bool((np.abs(new - middle) / (spread / math.sqrt(7)) > limit).any())


def test_the_budget_of_a_year_is_not_exceeded() -> None:
    for reference in (LEAST, 24, 40):
        for window in (SHORT, LONG):
            first = max(reference + SHORT, 2 * window)
            spent = [level(n, window, reference) for n in range(first, first + LOOKS)]
            assert math.fsum(spent) == pytest.approx(DELTA[window])
            for n, each in enumerate(spent, first):  # an alarm is possible at every look
                assert each >= 1 / (
                    math.comb(n, window) if math.comb(n, window) <= 20_000 else 5_000
                )
    assert math.fsum(DELTA.values()) < 0.05


def test_the_rank_is_exact_and_the_e_value_has_mean_at_most_one() -> None:
    random = np.random.default_rng(5)
    found = [look(random.normal(size=(15, 4)), SHORT, LEAST) for _ in range(400)]
    ranks = np.array([each.rank for each in found if each is not None])
    assert len(ranks) == 400
    for share in (0.05, 0.2, 0.5):
        assert within(float((ranks <= share).mean()), share, 400)
    assert ranks.min() >= 1 / math.comb(15, 3)
    assert WindowLook(3, 0.001, 0.002, 0, 4, 1).e_value == 500
    assert WindowLook(3, 0.003, 0.002, 0, 4, 1).e_value == 0
    assert WindowLook(3, 0.001, 0.002, 0, 2.9, 1).e_value == 0  # small


def test_the_three_strangest_weeks_are_found_and_named() -> None:
    random = np.random.default_rng(6)
    values = blocks(random, LEAST + SHORT)
    values[-SHORT:, 3] -= 8 * values[:LEAST, 3].std()
    found = look(values, SHORT, LEAST)
    assert found is not None and found.alarm and found.statistic == 3 and found.difference < 0
    assert found.rank == pytest.approx(1 / math.comb(15, 3))


def test_what_says_nothing_is_not_looked_at() -> None:
    random = np.random.default_rng(7)
    assert look(random.normal(size=(14, 2)), SHORT, LEAST) is None
    assert look(random.normal(size=(23, 2)), LONG, LEAST) is None
    assert look(random.normal(size=(30, 2)), SHORT, 5) is None
    assert look(np.zeros((15, 2)), SHORT, LEAST) is None
    values = random.normal(size=(15, 2))
    values[:, 0] = 1.0
    found = look(values, SHORT, LEAST)
    assert found is not None and found.statistic == 1


def test_one_week_with_a_rare_event_hides_no_change() -> None:
    values = blocks(np.random.default_rng(8), LEAST + SHORT)
    values[:, 0] = 0.0
    values[4, 0] = 0.001  # one answer of a thousand failed, once
    values[-SHORT:, 1] += 8 * values[:LEAST, 1].std()
    found = look(values, SHORT, LEAST)
    assert found is not None and found.alarm and found.statistic == 1


def check(years: int, changes: int, seed: int) -> None:
    """All promises, by simulated years and changes."""
    for together in (0.0, 0.6, 0.8, 0.9) if years > 10 else (0.6,):
        random = np.random.default_rng(seed)
        cried = sum(alarm(blocks(random, together=together)) for _ in range(years)) / years
        show(f"false alarms a year, days together {together}", cried, years)
        assert together > 0.6 or within(cried, 0.05, years)  # more is not promised
    starts = (0, 8, 25, 45)

    def found(change: Callable[[np.random.Generator, int, float], bool], spreads: float) -> float:
        return rate(changes, seed + 1, lambda r: change(r, starts[int(r.integers(4))], spreads))

    least = 0.95 - 2 * math.sqrt(0.05 * 0.95 / changes)
    for name, change in (("a step", abrupt), ("a climb", creeping)):
        for spreads in (4.0, 6.0, 8.0) if changes > 10 else (8.0,):
            share = found(change, spreads)
            show(f"{name} of {spreads:g} spreads found", share, changes)
            assert spreads < 8 or share >= least
    assert rate(changes, seed + 2, weekly_p_values) > 0.5
    assert rate(changes, seed + 3, days_as_if_independent) > 0.5


def sizes(values: Floats) -> bool:
    """True if a year's difference is large enough for an alarm, whatever its rank."""
    return any(
        large(values[:count], window)
        for window in (SHORT, LONG)
        for count in range(max(LEAST + SHORT, 2 * window), len(values) + 1)
    )


def test_what_is_too_small_to_look_at_is_no_alarm() -> None:
    """The simulations' shortcut agrees with all looks."""
    random = np.random.default_rng(9)
    for together, spreads in ((0.6, 0.0), (0.97, 0.0), (0.6, 3.0), (0.6, 8.0)):
        values = blocks(random, LEAST + 14, together)
        values[LEAST + 8 :, 0] += spreads * values[: LEAST + 8, 0].std()
        told = any(each.alarm for each in looks(values, 1, 14))
        assert told == alarm(values, 1, 14) and told >= (spreads == 8.0)


def test_days_that_resemble_each_other_make_no_large_difference_in_a_hundred_years() -> None:
    """This keeps the promise where weeks are not quite exchangeable."""
    assert within(rate(100, 33, lambda random: sizes(blocks(random))), 0.05, 100)
    assert rate(100, 34, lambda random: sizes(blocks(random, together=0.97))) > 0.1  # the control


def test_changes_are_found_and_a_year_without_one_is_quiet() -> None:
    check(1, 4, 31)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_the_same_with_many_years() -> None:
    check(1_000, 400, 32)
