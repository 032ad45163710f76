"""How often a gate passes an equal candidate, by exact enumeration, put into docs/gate.md.

usage: python -m docs.gate_power
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from appliance.statistics.groups import cautious_difference
from appliance.statistics.paired import Pairs, tango

PAGE = Path(__file__).with_name("gate.md")
BEGIN, END = "<!-- power: python -m docs.gate_power -->\n", "<!-- end -->\n"
ALPHA = 0.05
QUARTER, FIRST = ALPHA / 4, ALPHA * 0.7
GROUPS = (100, 200, 455, 1_000)
MARGINS = (0.03, 0.05, 0.10)
DISCORDANT = (0.04, 0.10, 0.20)

Limit = Callable[[int, int, int, float], float]
"""The lower limit from groups that are gained, groups that are lost, all groups, and alpha."""


def by_tango(gained: int, lost: int, groups: int, alpha: float) -> float:
    """Of certificates from now on, with one item a group."""
    return tango(Pairs(groups - gained - lost, gained, lost, 0), 1 - 2 * alpha).low


def by_one_pseudo_group(gained: int, lost: int, groups: int, alpha: float) -> float:
    """Of certificates that name no interval."""
    same = groups - gained - lost
    first, second = [1] * gained + [0] * lost + [1] * same, [0] * gained + [1] * (lost + same)
    return cautious_difference(first, second, range(groups), 1 - 2 * alpha).interval.low


@cache
def least_gained(limit: Limit, groups: int, margin: float, alpha: float, most: int) -> list[int]:
    """For each number of lost groups, the fewest gained ones with which the gate passes."""
    found, low = [], 0
    for lost in range(most + 1):
        high = groups - lost + 1  # none passes
        while low < high:
            middle = (low + high) // 2
            if limit(middle, lost, groups, alpha) > -margin:
                high = middle
            else:
                low = middle + 1
        found.append(low)
    return found


def passes(least: Sequence[int], groups: int, gain: float, loss: float) -> float:
    """The probability of a pass where a group is gained and lost with these probabilities."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, groups + 1)))])
    lost = np.arange(len(least))[None, :]
    gained = np.arange(min(groups, int(groups * gain + 9 * (groups * gain) ** 0.5 + 12)) + 1)[
        :, None
    ]
    same = groups - gained - lost
    inside = same >= 0
    same = np.where(inside, same, 0)
    ways = logs[groups] - logs[gained] - logs[lost] - logs[same]
    chance = gained * np.log(max(gain, 1e-300)) + lost * np.log(loss)
    chance = np.exp(ways + chance + same * np.log1p(-gain - loss))
    return float((chance * (inside & (gained >= np.array(least)[None, :]))).sum())


def reach(groups: int, loss: float) -> int:
    """So many lost groups are hardly ever passed."""
    return min(groups, int(groups * loss + 9 * (groups * loss) ** 0.5 + 12))


def cell(margin: float, discordant: float, groups: int) -> str:
    """How often an equal candidate passes: before, and by Tango at a quarter and at 0.7."""
    told = []
    for limit, alpha in ((by_one_pseudo_group, QUARTER), (by_tango, QUARTER), (by_tango, FIRST)):
        least = least_gained(limit, groups, margin, alpha, reach(groups, max(DISCORDANT) / 2))
        told.append(f"{100 * passes(least, groups, discordant / 2, discordant / 2):.0f}")
    return ", ".join(told)


def table() -> str:
    """The table."""
    lines = [
        f"| margin | differ | {' | '.join(f'{n:,} groups' for n in GROUPS)} |",
        f"|---|---|{'---|' * len(GROUPS)}",
    ]
    for margin in MARGINS:
        for discordant in DISCORDANT:
            cells = " | ".join(cell(margin, discordant, groups) for groups in GROUPS)
            lines.append(f"| {100 * margin:.0f} points | {100 * discordant:.0f} % | {cells} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the table into the page."""
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + begin + table() + END + after)


if __name__ == "__main__":
    main()
