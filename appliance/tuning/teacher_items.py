"""Selects answers of a teacher as items to learn from, and makes their dataset. Pure.

Rules:
- An answer is taken if it has the task's form, can be learned as the task writes it, and does not
  contradict a person's answer to the same text.
- No item is taken whose group or text is in a split that judges.
- A taken item is in `train` and names its teacher; the item of a dropped answer stays unlabelled.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from appliance.datasets import sealing
from appliance.datasets.directory import Dataset
from appliance.datasets.duplicates import plain
from appliance.datasets.items import Expected, Item
from appliance.datasets.splits import LABELLED, UNLABELLED
from appliance.errors import TaskRefused
from appliance.evals import metrics
from appliance.evals.outcomes import Outcome
from appliance.tasks.definition import JsonForm, LabelForm
from appliance.tasks.loaded import LoadedTask, answer_text
from appliance.tasks.matching import object_of

TRAIN: Final = "train"
FORM, CONTRADICTS, JUDGES = "form", "contradicts", "judges"
"""Reasons to drop an answer, besides the codes of failures."""


@dataclass(frozen=True)
class Taught:
    """Result of a teacher's answers; `dropped` are by reason."""

    items: tuple[Item, ...]
    dropped: Mapping[str, int]

    @property
    def share_dropped(self) -> float:
        lost = sum(self.dropped.values())
        return lost / (lost + len(self.items)) if lost or self.items else 0.0


def taught(
    loaded: LoadedTask, data: Dataset, answers: Mapping[str, Outcome], teacher: str
) -> Taught:
    """Items from a teacher's answers by item id.

    Args:
        teacher: its digest, or the identity of an engine elsewhere.
    """
    form = _Form(loaded)
    judging = [item for name in LABELLED if name != TRAIN for item in data.splits.get(name, ())]
    groups, texts = ({i.group for i in judging}, {plain(i.text) for i in judging})
    sealed = {
        mark for part in (data.seal.parts if data.seal else {}).values() for mark in part.names
    }
    known = {plain(item.text): item.label for item in data.splits.get(TRAIN, ())}
    items, dropped = [], Counter[str]()
    for item in data.splits.get(UNLABELLED, ()):
        said = answers.get(item.id)
        if said is None:
            continue
        value = form.value(said.answer)
        text = plain(item.text)
        made = replace(item, expected=value, teacher=teacher)
        if said.failure or value is None:
            dropped[said.failure or FORM] += 1
        elif (
            item.group in groups
            or text in texts
            or sealing.name_mark(data.manifest.name, item.group) in sealed
        ):
            dropped[JUDGES] += 1
        elif known.get(text, made.label) != made.label:
            dropped[CONTRADICTS] += 1
        else:
            items.append(made)
    return Taught(tuple(items), dict(sorted(dropped.items())))


def with_taught(data: Dataset, found: Taught, said: str) -> Dataset:
    """The dataset's next version.

    Args:
        said: appended to its manifest's description of items.
    """
    taken = {item.id for item in found.items}
    train = sorted([*data.splits.get(TRAIN, ()), *found.items], key=lambda item: item.id)
    left = tuple(item for item in data.splits.get(UNLABELLED, ()) if item.id not in taken)
    source = f"{data.manifest.source} {said}".strip()
    manifest = replace(data.manifest, source=source, version=data.manifest.version + 1)
    return replace(
        data, manifest=manifest, splits={**data.splits, TRAIN: tuple(train), UNLABELLED: left}
    )


class _Form:
    """Form of an answer that can be learned."""

    def __init__(self, loaded: LoadedTask) -> None:
        self._loaded = loaded
        self._schema = loaded.schema if isinstance(loaded.task.output, JsonForm) else None

    def value(self, text: str | None) -> Expected:
        """None where it has not the form."""
        task = self._loaded.task
        if text is None or not text.strip():
            return None
        value: Expected = text
        if self._schema is not None:
            value = object_of(text)
            if value is None or not self._schema.accepts(value):
                return None
        elif not isinstance(task.output, LabelForm) and metrics.refuses(text):
            return None
        try:
            answer_text(task, self._loaded.schema, json.loads(json.dumps(value)))
        except TaskRefused:
            return None
        return value
