"""The assignment of items to splits.

Rules: a group is in one split; the same items, rule and seed give the same splits in any order;
items without an answer are `unlabelled` whatever the rule; a random split of items that belong
together is refused.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from appliance.datasets.duplicates import plain
from appliance.datasets.items import Item
from appliance.datasets.likeness import Likeness, joined
from appliance.errors import DatasetRefused
from appliance.text import visible
from appliance.types import JsonValue

LABELLED: Final = ("train", "dev", "certify", "test")
"""In the order of time, and in that in which they are used."""
UNLABELLED: Final = "unlabelled"
SPLITS: Final = (*LABELLED, UNLABELLED)
SHARES: Final = {"train": 0.5, "dev": 0.1, "certify": 0.2, "test": 0.2}

Splits = dict[str, tuple[Item, ...]]


@dataclass(frozen=True)
class SplitRule:
    """The split of a dataset, as its manifest states it.

    Attributes:
        by: "group", "time" or "given".
        shares: by split, of a split by group; they add up to 1.
        starts: of a split by time, beginnings of dev, certify and test, each ISO 8601.
        together: similarity from which near-duplicates stay in one split; None: they need not.
        drop_seen: leave out items whose text occurs in an earlier split.
    """

    by: str
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    starts: Mapping[str, str] = field(default_factory=dict)
    seed: str = "1"
    together: float | None = None
    drop_seen: bool = False

    def describe(self) -> dict[str, JsonValue]:
        table: dict[str, JsonValue] = {"by": self.by, "drop_seen": self.drop_seen}
        if self.by == "group":
            table |= {"shares": dict(self.shares), "seed": self.seed, "together": self.together}
        if self.by == "time":
            table["starts"] = dict(self.starts)
        return table


def split(items: Sequence[Item], rule: SplitRule) -> Splits:
    """Divide items by a rule; items that `drop_seen` leaves out are in no split.

    Raises:
        DatasetRefused: `split_ignores_groups`, `split_invalid`, `group_in_two_splits`.
    """
    labelled = [item for item in items if item.labelled]
    if rule.by == "random":
        groups = {item.group for item in labelled}
        raise DatasetRefused(
            "split_ignores_groups",
            f"{len(labelled)} items are in {len(groups)} groups, which a random split would tear.",
        )
    if rule.by == "group":
        names = _by_group(labelled, rule)
    elif rule.by == "time":
        names = _by_time(labelled, rule)
    elif rule.by == "given":
        names = _given(labelled)
    else:
        raise DatasetRefused("split_invalid", f"{visible(rule.by, limit=40)} is no rule.")
    found: dict[str, list[Item]] = {name: [] for name in SPLITS}
    for item, name in zip(labelled, names, strict=True):
        found[name].append(item)
    if rule.drop_seen:
        _drop_seen(found)
    check_groups(found)
    found[UNLABELLED] = [item for item in items if not item.labelled]
    return {name: tuple(sorted(part, key=lambda item: item.id)) for name, part in found.items()}


def check_groups(splits: Mapping[str, Iterable[Item]]) -> None:
    """Raises DatasetRefused (`group_in_two_splits`)."""
    where: dict[str, str] = {}
    for name in LABELLED:
        for item in splits.get(name, ()):
            first = where.setdefault(item.group, name)
            if first != name:
                shown = visible(item.group, limit=80)
                raise DatasetRefused(
                    "group_in_two_splits", f"The group {shown!r} is in {first} and in {name}."
                )


def _by_group(items: Sequence[Item], rule: SplitRule) -> list[str]:
    shares = {name: float(rule.shares.get(name, 0)) for name in LABELLED}
    unknown = rule.shares.keys() - set(LABELLED)
    if unknown or min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-9:
        raise DatasetRefused("split_invalid", "The shares of train, dev, certify, test are not 1.")
    units = _units(items, rule.together)
    return [_bucket(unit, shares, rule.seed) for unit in units]


def _units(items: Sequence[Item], together: float | None) -> list[str]:
    if together is None:
        return [item.group for item in items]
    order = sorted(items, key=lambda item: item.id)
    near = Likeness([item.text for item in order], together).components()
    names = sorted({item.group for item in items})
    number = {name: n for n, name in enumerate(names)}
    pairs = (
        (number[item.group], number[order[n].group]) for item, n in zip(order, near, strict=True)
    )
    unit = joined(len(names), pairs)
    return [names[unit[number[item.group]]] for item in items]


def _bucket(unit: str, shares: Mapping[str, float], seed: str) -> str:
    ticket = hashlib.sha256(f"{seed}\0{unit}".encode()).digest()
    place = int.from_bytes(ticket[:8]) / (1 << 64)
    for name in LABELLED:
        place -= shares[name]
        if place < 0:
            return name
    return next(name for name in reversed(LABELLED) if shares[name] > 0)


def _by_time(items: Sequence[Item], rule: SplitRule) -> list[str]:
    starts = [(name, rule.starts[name]) for name in LABELLED[1:] if name in rule.starts]
    times = [start for _, start in starts]
    if not starts or rule.starts.keys() - set(LABELLED[1:]) or times != sorted(set(times)):
        raise DatasetRefused("split_invalid", "The beginnings of the splits do not rise.")
    names = []
    for item in items:
        if item.time is None:
            shown = visible(item.id, limit=80)
            raise DatasetRefused("split_invalid", f"The item {shown!r} has no time.")
        late = [name for name, start in starts if item.time >= start]
        names.append(late[-1] if late else LABELLED[0])
    return names


def _given(items: Sequence[Item]) -> list[str]:
    names = []
    for item in items:
        if item.split not in LABELLED:
            shown = visible(item.id, limit=80)
            known = ", ".join(LABELLED)
            raise DatasetRefused(
                "split_invalid", f"The item {shown!r} is labelled and in none of {known}."
            )
        names.append(item.split)
    return names


def _drop_seen(found: dict[str, list[Item]]) -> None:
    seen: set[str] = set()
    for name in LABELLED:
        kept = [item for item in found[name] if plain(item.text) not in seen]
        seen |= {plain(item.text) for item in kept}
        found[name] = kept


def strata(items: Iterable[Item]) -> dict[str, int]:
    """Count the items of each stratum."""
    counts: dict[str, int] = defaultdict(int)
    for item in items:
        if item.stratum is not None:
            counts[item.stratum] += 1
    return dict(sorted(counts.items()))
