"""From an answer in a task's form to a score of the task's metric. Pure.

Rules: a candidate is scored against the expected answer as one canonical text; an answer that
cannot be read in the form scores 0.
"""

import json
from collections.abc import Mapping
from typing import Any

from appliance.datasets.items import Item
from appliance.errors import EvaluationRefused
from appliance.evals import metrics
from appliance.tasks.definition import Fields, Labels, Task


def input_of(task: Task, item: Item) -> dict[str, str]:
    """An item's input as the task takes it; values that are not text are written as JSON.

    Raises:
        EvaluationRefused: `item_unfit` when the item lacks a field that the task requires.
    """
    sent = {}
    for field in task.input:
        value = item.input.get(field.name)
        if value is None:
            if field.required:
                raise _unfit(item, f"has no field {field.name!r}")
            continue
        sent[field.name] = value if isinstance(value, str) else json.dumps(value)
    return sent


def expected_of(task: Task, item: Item) -> str:
    """An item's expected answer as one text: a label, JSON with sorted names, or text.

    Raises:
        EvaluationRefused: `item_unfit` when the task's form cannot give that answer.
    """
    if isinstance(task.output, Labels):
        if item.label not in task.output.labels:
            raise _unfit(item, f"expects {item.label[:80]!r}, which is no label of the task")
        return item.label
    if isinstance(task.output, Fields):
        if not isinstance(item.expected, Mapping):
            raise _unfit(item, "expects no object")
        return canonical(item.expected)
    if not isinstance(item.expected, str):
        raise _unfit(item, "expects no text")
    return item.expected


def score(task: Task, expected: str, answer: str | None) -> float:
    """The task's metric for one answer, between 0 and 1."""
    if isinstance(task.output, Fields):
        wanted, given = json.loads(expected), _object(answer)
        if task.gate.metric == "field_accuracy":
            return metrics.field_accuracy(wanted, given)
        return float(metrics.field_accuracy(wanted, given) == 1)
    if task.gate.metric == "normalised_match":
        return metrics.normalised_match(expected, answer)
    return metrics.exact_match(expected, answer)


def canonical(value: Any) -> str:
    """JSON with sorted names and no blanks: equal values have equal texts."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _object(answer: str | None) -> dict[str, Any] | None:
    try:
        value = json.loads(answer or "")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _unfit(item: Item, reason: str) -> EvaluationRefused:
    return EvaluationRefused("item_unfit", f"The item {item.id[:80]!r} {reason}.")
