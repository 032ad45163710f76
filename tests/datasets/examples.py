"""Items and datasets for tests."""

import random
from collections.abc import Iterable
from typing import Any

from appliance.datasets.directory import Dataset, DatasetManifest
from appliance.datasets.items import Item
from appliance.datasets.splits import SplitRule, split

PARTS = (
    "hose",
    "pump",
    "valve",
    "cylinder",
    "filter",
    "engine",
    "bucket",
    "tooth",
    "track",
    "idler",
)
FAULTS = ("leaks", "cracked", "broken", "worn out", "noisy", "overheats", "blocked", "loose")
PLACES = ("left side", "right side", "front", "rear", "near cab", "under boom", "at stick")
ACTIONS = ("replace", "repair", "inspect", "change out", "weld", "tighten")


def orders(count: int, seed: int = 1, per_group: int = 3) -> list[Item]:
    """All texts are different, `per_group` to a group."""
    draw = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        part = draw.choice(PARTS)
        text = (
            f"{draw.choice(ACTIONS)} {part} {draw.choice(FAULTS)} {draw.choice(PLACES)} "
            f"{draw.choice('ABCDEFGH')}{draw.randint(100, 999)} {draw.choice(ACTIONS)}"
        )
        found[text] = part
    return [
        Item(
            f"w{n:05d}", f"g{n // per_group:05d}", {"text": text}, part, f"20{10 + n % 10}-01-01",
        )
        for n, (text, part) in enumerate(found.items())
    ]  # fmt: skip


def dataset(items: Iterable[Item], **rule: Any) -> Dataset:
    """By group unless the rule says otherwise."""
    wanted = SplitRule(**({"by": "group"} | rule))
    return Dataset(DatasetManifest("orders", rule=wanted.describe()), split(list(items), wanted))
