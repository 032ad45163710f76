"""Bounds for answers of groups of unequal sizes: the chosen draw, and its rivals.

Rules: the score model is that of the design; groups differ in their log-odds by `spread`; the
search begins at 0.3 of an oracle's coverage, as a route's does.
"""

from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import pytest

from appliance.statistics.groups import draw_by_size, draw_one_each
from appliance.statistics.power import allowed_errors
from tests.evals.test_gate_simulation import told

BOUND = DELTA = 0.05
GRID: Final = np.round(np.arange(0.05, 1.0001, 0.025), 3)
STAKES: Final = np.array([0.3, 0.6, 0.95])
SIZES: Final[dict[str, Callable[[int, np.random.Generator], np.ndarray]]] = {
    "one": lambda count, _: np.ones(count, int),
    "ten": lambda count, _: np.full(count, 10),
    "log-normal": lambda count, generator: np.maximum(
        1, np.round(np.exp(generator.normal(1.5, 0.5, count)))
    ).astype(int),
    "busy": lambda count, generator: np.where(generator.random(count) < 0.02, 40, 2),
}
_allowed = cache(allowed_errors)


class World(NamedTuple):
    groups: np.ndarray
    places: np.ndarray
    wrong: np.ndarray


def world(kind: str, count: int, spread: float, generator: np.random.Generator) -> World:
    sizes = SIZES[kind](count, generator)
    shift = generator.normal(0, spread, count) + np.where((kind == "busy") & (sizes > 2), 1.2, 0)
    groups = np.repeat(np.arange(count), sizes)
    places = generator.random(len(groups))
    p = np.clip(0.19 * 4.9 * places**3.9, 1e-9, 0.999)
    p = 1 / (1 + np.exp(-(np.log(p / (1 - p)) + shift[groups])))
    return World(groups, places, generator.random(len(groups)) < p)


@cache
def truth(kind: str, spread: float) -> dict[float, float]:
    found = world(kind, 20_000, spread, np.random.default_rng(0))
    return {c: float(found.wrong[found.places <= c].mean()) for c in GRID}


def by_draw(seen: World, start: float, seed: str, *, by_size: bool = True) -> float:
    """Certified coverage of one item of a group, by groups drawn by their sizes."""
    draw = draw_by_size if by_size else draw_one_each
    names = [f"g{group}" for group in seen.groups]
    chosen = draw([f"i{n}" for n in range(len(names))], names, seed)
    places, wrong = seen.places[chosen], seen.wrong[chosen]
    best = 0.0
    for coverage in GRID[start <= GRID]:
        inside = places <= coverage
        if inside.sum() < 59:
            continue
        if wrong[inside].sum() > _allowed(BOUND, int(inside.sum()), DELTA):
            break
        best = coverage
    return best


def by_bets(seen: World, start: float) -> float:
    """Certified coverage of a mixture of bets on the sums of all groups."""
    most = np.bincount(seen.groups).max()
    best = 0.0
    for coverage in GRID[start <= GRID]:
        inside = seen.places <= coverage
        sums = np.bincount(seen.groups[inside], weights=seen.wrong[inside] - BOUND)
        stakes = STAKES[:, None] / ((1 - BOUND) * most)
        wealth = np.exp(np.log1p(-stakes * sums[None, :]).sum(axis=1)).mean()
        if wealth < 1 / DELTA:
            if inside.sum() / most < 90:
                continue
            break
        best = coverage
    return best


def check(kind: str, count: int, spread: float, runs: int) -> tuple[float, float, float]:
    """Shares of wrong certificates by the draw, by bets, and by one of each group alike."""
    true = {0.0: 0.0, **truth(kind, spread)}
    start = 0.3 * max(c for c in GRID if true[c] <= BOUND)
    found: dict[str, list[float]] = {"drawn": [], "bets": [], "one of each": []}
    for run in range(runs):
        seen = world(kind, count, spread, np.random.default_rng(1_000 * count + run))
        found["drawn"].append(by_draw(seen, start, str(run)))
        found["bets"].append(by_bets(seen, start))
        found["one of each"].append(by_draw(seen, start, str(run), by_size=False))
    wrong = [float(np.mean([true[c] > BOUND for c in each])) for each in found.values()]
    means = ", ".join(f"{name} {np.mean(each):.2f}" for name, each in found.items())
    told(f"{count} groups, {kind}, spread {spread:g}: wrong {wrong}, coverage {means}")
    return wrong[0], wrong[1], wrong[2]


def test_a_draw_by_size_holds_where_one_of_each_group_does_not() -> None:
    drawn, bets, alike = check("busy", 1_000, 0.0, 25)
    assert drawn <= 0.08 and bets <= 0.08 and alike > 2 * DELTA


@pytest.mark.slow
def test_the_draw_and_the_bets_in_two_hundred_runs() -> None:
    cells = [
        check(kind, count, spread, 200)
        for kind in SIZES
        for spread in ((0.0,) if kind == "one" else (0.0, 2.0))
        for count in (300, 1_000)
    ]
    drawn, bets, alike = (np.array(each) for each in zip(*cells, strict=True))
    most = DELTA + 3 * (DELTA * (1 - DELTA) / 200) ** 0.5
    assert max(drawn.max(), bets.max()) <= most and drawn.mean() <= DELTA
    assert alike.max() > 2 * DELTA
