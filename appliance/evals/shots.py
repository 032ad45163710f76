"""The solved items that a prompt shows. Pure.

Rules: they are items of the split `train` only; those with the smallest digests, one of each label
in turn, so that the choice depends on no order and covers every label as soon as it can.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from appliance.datasets.items import Item
from appliance.errors import ApplianceError
from appliance.evals import scoring
from appliance.tasks.inputs import Example, Renderer, checked
from appliance.tasks.loaded import LoadedTask, answer_text

SIZES: Final = (0, 4, 8)
"""How many examples the battery tries, besides the number that the task itself has."""


def choose(train: Sequence[Item], count: int) -> list[Item]:
    """At most `count` items."""
    ordered = sorted(train, key=lambda item: hashlib.sha256(item.id.encode()).digest())
    waiting: dict[str, list[Item]] = defaultdict(list)
    for item in ordered:
        waiting[item.label].append(item)
    ranks = {item.id: n for queue in waiting.values() for n, item in enumerate(queue)}
    return sorted(ordered, key=lambda item: ranks[item.id])[:count]


def with_examples(loaded: LoadedTask, items: Sequence[Item]) -> LoadedTask:
    """Unfit items are left out."""
    shown = [(item.id, example) for item in items if (example := _example(loaded, item))]
    renderer = Renderer(loaded.task, [example for _, example in shown])
    return replace(loaded, renderer=renderer, example_ids=tuple(name for name, _ in shown))


def _example(loaded: LoadedTask, item: Item) -> Example | None:
    try:
        sent = checked(loaded.task, scoring.input_of(loaded.task, item))
        expected = json.loads(scoring.canonical(item.expected))
        return Example(sent, answer_text(loaded.task, loaded.schema, expected))
    except ApplianceError:
        return None
