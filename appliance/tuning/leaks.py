"""Copies in train of items of the splits that judge later, under another name. Pure.

Rules: a copy shows by its group's content mark in the seal, and is counted in the record only:
recurring texts are no mistake by themselves.
"""

from collections import defaultdict
from collections.abc import Sequence

from appliance.datasets import sealing
from appliance.datasets.directory import Dataset
from appliance.datasets.items import Item
from appliance.datasets.sealing import SEALED


def groups_seen(data: Dataset, learned: Sequence[Item]) -> int:
    """Learned groups with the very texts of a group that judges later."""
    name = data.manifest.name
    parts = list(data.seal.parts.values()) if data.seal else []
    parts += [sealing.describe(name, data.splits.get(split, ())) for split in SEALED]
    judging = {mark for part in parts for mark in part.contents}
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in learned:
        groups[item.group].append(item)
    marks = (sealing.describe(name, held).contents for held in groups.values())
    return sum(bool(judging.intersection(found)) for found in marks)
