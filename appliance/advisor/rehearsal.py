"""A rehearsal of drift: weeks made of a dataset's open items, and the share of changes found.

Rules: the reference is one split, and the later weeks are the same, with one answer doubled, or
another split. Items of one group stay apart: real changes are found less often than here.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from appliance.advisor.blocks import FEWEST, WeekObserved, block, profile
from appliance.advisor.drift import Watch, looked
from appliance.datasets.items import Item
from appliance.errors import DatasetRefused
from appliance.statistics.change import LEAST, SHORT

SIZES: Final = (FEWEST + 1, 50, 100, 200, 500, 1_000)
"""Requests a week."""
RUNS: Final = 20


@dataclass(frozen=True)
class Rehearsed:
    """Number of `RUNS` watches with an alarm within three weeks.

    Attributes:
        same: without a change: false alarms.
        doubled: with twice the share of `answer`.
        other: with the other split; None without one.
    """

    requests: int
    answer: str
    same: int
    doubled: int
    other: int | None


def rehearse(
    before: Sequence[Item], after: Sequence[Item] = (), sizes: Sequence[int] | None = None
) -> list[Rehearsed]:
    """Rehearse for each number of requests a week; by default `SIZES`.

    The doubled answer is the commonest one below a quarter, or else the rarest.

    Raises:
        DatasetRefused: `split_invalid` for fewer than two answers.
    """
    seen, others = [_observed(item) for item in before], [_observed(item) for item in after]
    shares = Counter(each.answer or "" for each in seen if each.answer is not None)
    if len(shares) < 2:
        raise DatasetRefused("split_invalid", "A rehearsal needs items with two answers.")
    below = [answer for answer, count in shares.most_common() if count * 4 < len(seen)]
    answer = below[0] if below else shares.most_common()[-1][0]
    weight = np.array([2.0 if each.answer == answer else 1.0 for each in seen])
    share = shares[answer] / len(seen)
    weight[weight == 1.0] = (1 - 2 * share) / (1 - share) if share < _HALF else 0.0
    weight /= weight.sum()
    return [_rehearsed(seen, others, answer, weight, size) for size in sizes or SIZES]


_HALF: Final = 0.5


def _rehearsed(
    seen: Sequence[WeekObserved],
    others: Sequence[WeekObserved],
    answer: str,
    weight: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    size: int,
) -> Rehearsed:
    cried = Counter[str]()
    for run in range(RUNS):
        random = np.random.default_rng([run, size])
        first = [seen[n] for n in random.integers(len(seen), size=size)]
        known = profile(0, first)
        start = Watch("rehearsal", known)
        for week in range(1, LEAST + 1):
            start = _next(start, week, [seen[n] for n in random.integers(len(seen), size=size)])
        for name in ("same", "doubled", "other") if others else ("same", "doubled"):
            watch = start
            for week in range(LEAST + 1, LEAST + SHORT + 1):
                pool = others if name == "other" else seen
                chances = weight if name == "doubled" else None
                drawn = random.choice(len(pool), size=size, p=chances)
                watch = _next(watch, week, [pool[n] for n in drawn])
            cried[name] += watch.alarm is not None
    other = cried["other"] if others else None
    return Rehearsed(size, answer, cried["same"], cried["doubled"], other)


def _next(watch: Watch, week: int, seen: Sequence[WeekObserved]) -> Watch:
    found = None if watch.profile is None else block(week, seen, watch.profile)
    return watch if found is None else looked(watch, found)


def _observed(item: Item) -> WeekObserved:
    text = item.text
    return replace(
        WeekObserved(0, prompt_tokens=len(text.split()), answer_tokens=1),
        text=text,
        answer=item.label if item.labelled else None,
    )
