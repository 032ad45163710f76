"""From an item and an answer to a score of the task's metric. Pure.

Rules: a candidate is scored against the expected answer as one canonical text; an answer that
cannot be read in the form scores 0.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from appliance.datasets.items import Item
from appliance.errors import BadRequest, EvaluationRefused
from appliance.tasks import labelled, matching
from appliance.tasks.definition import JsonForm, LabelForm, Task, Text, form_of
from appliance.tasks.inputs import checked
from appliance.tasks.matching import WHOLE
from appliance.tasks.metrics import METRICS, AnsweredItem
from appliance.types import JsonValue


def input_of(task: Task, item: Item) -> dict[str, str]:
    """An item's input; values that are not text are written as JSON.

    Raises:
        EvaluationRefused: `item_unfit`: a required field is missing.
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


def text_of(task: Task, item: Item) -> str | None:
    """An item's input as a classifier of the task reads it; None if the task refuses it."""
    try:
        return labelled.text_of(task, checked(task, input_of(task, item)))
    except (BadRequest, EvaluationRefused):
        return None


def expected_of(task: Task, item: Item) -> str:
    """The expected answer as a label, canonical JSON, or text.

    "" without a label; that is no label of a task.

    Raises:
        EvaluationRefused: `item_unfit` when the task's form cannot give that answer.
    """
    output = task.output
    match output:
        case LabelForm():
            if not item.labelled:
                return ""
            if item.label not in output.labels:
                raise _unfit(item, f"expects {item.label[:80]!r}, which is no label of the task")
            return item.label
        case JsonForm():
            if not isinstance(item.expected, Mapping):
                raise _unfit(item, "expects no object")
            _check_values(task, item, item.expected)
            return canonical(item.expected)
        case Text():
            if not isinstance(item.expected, str):
                raise _unfit(item, "expects no text")
            _check_values(task, item, {WHOLE: item.expected})
            return item.expected
        case _:
            assert_never(output)


def score(task: Task, expected: str, answer: str | None, likeliest: Sequence[str] = ()) -> float:
    """The metric, between 0 and 1.

    Args:
        likeliest: labels, the likeliest first; () where a candidate names only one.
    """
    form, metric = form_of(task), METRICS[task.gate.metric]
    if form not in metric.forms:  # an older version let it in, and scored exact match
        metric = METRICS["exact_match"]
    named = likeliest or (() if answer is None else (answer,))
    return metric.score(AnsweredItem(form, expected, answer, task.compare, named))


def canonical(value: Any) -> str:
    """JSON with sorted names and no blanks: equal values have equal texts."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _check_values(task: Task, item: Item, expected: Mapping[str, JsonValue]) -> None:
    for name, compare in task.compare.items():
        value = expected.get(name)
        if compare.match == "pattern" and isinstance(value, str):
            try:
                matching.pattern(value, "")
            except ValueError as error:
                raise _unfit(item, f"expects {value[:80]!r}, which is no pattern") from error


def unfit_reason(task: Task, item: Item) -> str:
    """Words that reveal nothing of the item; "" where it fits."""
    try:
        expected_of(task, item)
    except EvaluationRefused:
        return "the task's form cannot give its answer"
    try:
        input_of(task, item)
    except EvaluationRefused:
        return "it lacks a field that the task requires"
    return ""


def _unfit(item: Item, reason: str) -> EvaluationRefused:
    return EvaluationRefused("item_unfit", f"The item {item.id[:80]!r} {reason}.")
