"""Have the last weeks changed? Conformal evidence on blocks that may be looked at every week.

Rules: a block is a week, never a day or an item, because days of a week go together; while nothing
changes, blocks are exchangeable, and `rank` is exact; the part of `delta` for each look is fixed
before, so all looks of a year together give a false alarm with probability at most `delta`; a small
difference is no alarm, whatever its rank; a constant statistic is ignored.
Sources: Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2nd ed., 2022; Westfall &
Young, Resampling-Based Multiple Testing, 1993 (the maximum over statistics); Vovk & Wang, Ann.
Stat. 49, 2021 (e-values: here 1 / level where the rank is within the level, else 0).
"""

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

SHORT: Final = 3
"""Weeks within which an abrupt change is to be found."""
LONG: Final = 12
"""Weeks within which creep is to be found."""
LEAST: Final = 12
"""Weeks of reference before the first look."""
LOOKS: Final = 52
"""Looks that share `DELTA`: a year of weeks."""
DELTA: Final = {SHORT: 0.02, LONG: 0.012}
"""False alarms that all looks of a year may spend on each window; 0.05 is promised, and the rest is
room for weeks that are not quite exchangeable."""
SMALLEST: Final = {SHORT: 3.0, LONG: 1.7}
"""How large a difference has to be besides. Where days resemble the day before across weeks, the
rank alone cries wrong in about one year of seven; a large difference hardly ever comes of that."""
_MOST: Final = 20_000
"""Subsets that are all looked at; of more, `_DRAWN` are drawn."""
_DRAWN: Final = 4_999
_SHRINK: Final = 0.5
"""Share of the whole spread that is added to the spread of the other weeks, so that one odd week of
a rare event does not count without bound."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WindowLook:
    """One window's result at one look.

    Attributes:
        window: number of last weeks in it.
        rank: share of all windows of so many weeks that differ at least as much: an exact p-value.
        level: highest rank for an alarm.
        statistic: index of the one that differs most.
        size: its difference, in spreads of the other weeks.
        difference: the window's mean minus that of the other weeks.
    """

    window: int
    rank: float
    level: float
    statistic: int
    size: float
    difference: float

    @property
    def e_value(self) -> float:
        return 1 / self.level if self.alarm else 0.0

    @property
    def alarm(self) -> bool:
        return self.rank <= self.level and self.size >= SMALLEST[self.window]


def look(blocks: Floats, window: int, reference: int, seed: int = 0) -> WindowLook | None:
    """Look at the last `window` blocks.

    Args:
        blocks: one row a week, one column a statistic, the oldest week first.
        reference: number of blocks before the first look.

    Returns:
        None where there are too few blocks, or nothing that varies.
    """
    count = len(blocks)
    if count < reference + SHORT or count < 2 * window or reference < LEAST:
        return None
    varying = np.flatnonzero(np.ptp(blocks, axis=0) > 0)
    if not len(varying):
        return None
    values = blocks[:, varying]
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    last = np.zeros((1, count))
    last[0, -window:] = 1.0
    here = _differences(values, last)[0]
    others = _sets(count, window, seed)
    exact = math.comb(count, window) <= _MOST
    if not exact:  # the last weeks themselves are counted once, not as often as they are drawn
        others = others[others[:, -window:].sum(axis=1) < window]
    top = _differences(values, others).max(axis=1)
    reached = int((top >= here.max() * (1 - 1e-9)).sum())
    rank = reached / len(top) if exact else (1 + reached) / (1 + len(top))
    best = int(here.argmax())
    column = blocks[:, varying[best]]
    return WindowLook(
        window,
        rank,
        level(count, window, reference),
        int(varying[best]),
        float(here[best]),
        float(column[-window:].mean() - column[:-window].mean()),
    )


@lru_cache(maxsize=4096)
def level(count: int, window: int, reference: int) -> float:
    """Alpha of the look at `count` blocks; a year's looks together spend `DELTA`.

    Every look may at least alarm where no other window differs as much, if that fits.
    """
    first = max(reference + SHORT, 2 * window)
    least = [_smallest(n, window) for n in range(first, first + LOOKS)]
    left = DELTA[window] - sum(least)
    if left < 0:
        return DELTA[window] / LOOKS
    return _smallest(count, window) + left / LOOKS


def _smallest(count: int, window: int) -> float:
    sets = math.comb(count, window)
    return 1 / (sets if sets <= _MOST else 1 + _DRAWN)


def _differences(values: Floats, chosen: Floats) -> Floats:
    count, window = len(values), int(chosen[0].sum())
    total, squares = chosen @ values, chosen @ np.square(values)
    rest = count - window
    mean = (values.sum(axis=0) - total) / rest
    spread = (np.square(values).sum(axis=0) - squares) / rest - np.square(mean)
    found: Floats = np.abs(total / window - mean) / np.sqrt(np.maximum(spread, 0.0) + _SHRINK**2)
    return found


@lru_cache(maxsize=4)
def _sets(count: int, window: int, seed: int) -> Floats:
    """All, or a fixed draw: rows of zeros and ones."""
    if math.comb(count, window) <= _MOST:
        rows = np.array(list(itertools.combinations(range(count), window)), dtype=np.intp)
    else:
        random = np.random.default_rng([seed, count, window])
        drawn = random.random((_DRAWN, count), dtype=np.float32)
        rows = np.argpartition(drawn, window, axis=1)[:, :window]
    found = np.zeros((len(rows), count))
    np.put_along_axis(found, rows, 1.0, axis=1)
    return found
