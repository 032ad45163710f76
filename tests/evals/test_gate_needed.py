"""The needed number of groups of an underpowered gate, compared with the true one.

Worlds are drawn with one item a group; the true number is the first with a power of 80 %, by exact
enumeration. Only worlds whose gate is underpowered count.
"""

from functools import cache

import numpy as np
import pytest

from appliance.evals import judging
from appliance.evals.pairs import MILLION, ItemPair
from appliance.statistics.power import groups_for_difference, groups_for_floor
from appliance.statistics.proportions import wilson
from appliance.trust.statements.specification import Specification
from docs.gate_power import by_tango, least_gained, passes, reach
from tests.evals.gates import wanted

WORLDS = 150
FIRST = 0.05 * 0.7
SCHEDULE = (700_000, 100_000, 100_000, 100_000)


@cache
def needed(margin: float, differ: float, truth: float) -> int:
    gain, loss = (differ + truth) / 2, (differ - truth) / 2

    def power(groups: int) -> float:
        least = least_gained(by_tango, groups, margin, FIRST, reach(groups, loss))
        return passes(least, groups, gain, loss)

    low, high = 50, 100
    while power(high) < 0.8:
        low, high = high, high * 2
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (middle, high) if power(middle) < 0.8 else (low, middle)
    return high


def drawn(draw: np.random.Generator, groups: int, differ: float, truth: float) -> list[ItemPair]:
    gaps = draw.choice(
        [1, -1, 0], groups, p=[(differ + truth) / 2, (differ - truth) / 2, 1 - differ]
    )
    return [
        ItemPair(f"i{n:05}", f"g{n}", "", "a", int(gap >= 0) * MILLION, int(gap <= 0) * MILLION,
             "a" if gap >= 0 else "b", "a" if gap <= 0 else "b")
        for n, gap in enumerate(gaps)
    ]  # fmt: skip


def worlds(margin: float) -> float:
    """Share of worlds with the true number in the given range."""
    terms: Specification = wanted(margin_micros=round(margin * MILLION), schedule=SCHEDULE)
    draw, told, inside = np.random.default_rng(31), 0, 0
    while told < WORLDS:
        truth, differ = draw.choice([0.0, 0.02, -0.02]), draw.choice([0.05, 0.1])
        found = judging.judge(
            terms, drawn(draw, int(draw.integers(50, 200 if margin < 0.1 else 90)), differ, truth)
        )
        if found.verdict != "underpowered":
            continue
        told += 1
        low, high = found.groups_range or (None, None)
        if low is not None:
            inside += low <= needed(margin, differ, truth) <= (high or 10**9)
    return inside / WORLDS


@pytest.mark.parametrize("margin", [0.05, 0.1])
def test_the_true_number_lies_in_the_range(margin: float) -> None:
    found = worlds(margin)
    print(f"margin {margin}: {found:.3f} of {WORLDS} worlds")  # noqa: T201
    assert found >= 0.8


def test_the_number_for_a_floor_lies_in_its_range() -> None:
    """Wilson's limit at 3.5 %, in worlds of 60 to 200 groups."""

    @cache
    def true(floor: float, rate: float) -> int:
        draw = np.random.default_rng(7)
        sizes = list(range(50, 4_000, 10))
        low, high = 0, len(sizes) - 1
        while low < high:
            middle = (low + high) // 2
            seen = draw.binomial(sizes[middle], rate, 2_000)
            reached = {
                k: wilson(int(k), sizes[middle], 1 - 2 * FIRST).low >= floor for k in set(seen)
            }
            power = np.mean([reached[k] for k in seen])
            low, high = (middle + 1, high) if power < 0.8 else (low, middle)
        return sizes[low]

    draw, inside, told = np.random.default_rng(5), 0, 0
    while told < WORLDS:
        floor, over = draw.choice([0.6, 0.8, 0.9]), draw.choice([0.03, 0.06])
        groups = int(draw.integers(60, 200))
        right = int(draw.binomial(groups, floor + over))
        limits = wilson(right, groups, 1 - 2 * FIRST)
        if limits.low >= floor or limits.high < floor:
            continue
        told += 1
        found = groups_for_floor(floor, right / groups, groups, groups, FIRST)
        if found is not None:
            inside += found.low * 0.97 <= true(floor, floor + over) <= (found.high or 10**9)
    print(f"floors: {inside / WORLDS:.3f}")  # noqa: T201
    assert inside / WORLDS >= 0.8


def test_control_the_plan_by_the_difference_that_was_seen_misses_the_number() -> None:
    """As in older versions: one number, or that more groups would hardly help."""
    draw = np.random.default_rng(31)
    found: list[int | None] = []
    while len(found) < WORLDS:
        groups = int(draw.integers(50, 200))
        seen = judging.judge(wanted(schedule=SCHEDULE), drawn(draw, groups, 0.1, 0.0))
        if seen.verdict == "underpowered":
            value = seen.difference_micros / MILLION
            found.append(groups_for_difference(0.05, 0.1**0.5, value, FIRST))
    true = needed(0.05, 0.1, 0.0)
    near = sum(one is not None and 0.5 * true <= one <= 2 * true for one in found)
    assert near / WORLDS < 0.6 and sum(one is None for one in found) / WORLDS > 0.05
