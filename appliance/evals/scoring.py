"""From an answer in a task's form to a score of the task's metric. Pure.

Rules: a candidate is scored against the expected answer as one canonical text; an answer that
cannot be read in the form scores 0; values are the same, unless the task's table `compare` says how
much a number may differ or that an expected text is a pattern.
"""

import json
from collections.abc import Mapping
from typing import Any

from appliance.datasets.items import Item
from appliance.errors import BadRequest, EvaluationRefused
from appliance.evals import metrics
from appliance.tasks import labelled
from appliance.tasks.definition import WHOLE, Compare, Fields, Labels, Task
from appliance.tasks.inputs import checked


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


def text_of(task: Task, item: Item) -> str | None:
    """An item's input as a classifier of the task reads it; None if the task refuses it."""
    try:
        return labelled.text_of(task, checked(task, input_of(task, item)))
    except (BadRequest, EvaluationRefused):
        return None


def expected_of(task: Task, item: Item) -> str:
    """An item's expected answer as one text: a label, JSON with sorted names, or text.

    "" where nobody has labelled it; that is no label of a task.

    Raises:
        EvaluationRefused: `item_unfit` when the task's form cannot give that answer.
    """
    if isinstance(task.output, Labels):
        if not item.labelled:
            return ""
        if item.label not in task.output.labels:
            raise _unfit(item, f"expects {item.label[:80]!r}, which is no label of the task")
        return item.label
    if isinstance(task.output, Fields):
        if not isinstance(item.expected, Mapping):
            raise _unfit(item, "expects no object")
        _check_values(task, item, item.expected)
        return canonical(item.expected)
    if not isinstance(item.expected, str):
        raise _unfit(item, "expects no text")
    _check_values(task, item, {WHOLE: item.expected})
    return item.expected


def score(task: Task, expected: str, answer: str | None) -> float:
    """The task's metric for one answer, between 0 and 1."""
    if isinstance(task.output, Fields):
        wanted, given = json.loads(expected), object_of(answer)
        right = fields_right(task, wanted, given)
        share = sum(right.values()) / len(right) if right else float(given is not None)
        return share if task.gate.metric == "field_accuracy" else float(share == 1)
    if WHOLE in task.compare:
        return _compared(task.compare[WHOLE], expected, answer)
    if task.gate.metric == "normalised_match":
        return metrics.normalised_match(expected, answer)
    return metrics.exact_match(expected, answer)


def fields_right(
    task: Task, expected: Mapping[str, Any], answer: Mapping[str, Any] | None
) -> dict[str, float]:
    """For each expected field 1 where the answer's value counts as right."""
    right = metrics.fields_right(expected, answer)
    for name, compare in task.compare.items():
        if name in right and answer is not None and name in answer:
            right[name] = max(right[name], _compared(compare, expected[name], answer[name]))
    return right


def canonical(value: Any) -> str:
    """JSON with sorted names and no blanks: equal values have equal texts."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def object_of(answer: str | None) -> dict[str, Any] | None:
    """The JSON object that an answer is; None where it is none."""
    try:
        value = json.loads(answer or "")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _compared(compare: Compare, expected: Any, answer: Any) -> float:
    """Whether a value counts as right where it need not be the same."""
    if isinstance(expected, bool) or isinstance(answer, bool):
        return float(expected is answer)
    if isinstance(expected, int | float) and isinstance(answer, int | float):
        return metrics.within_tolerance(
            expected, str(answer), absolute=compare.absolute, relative=compare.relative
        )
    if not isinstance(expected, str) or not isinstance(answer, str):
        return 0.0
    if compare.match == "pattern":
        return metrics.pattern_match(expected, answer)
    if compare.match == "normalised":
        return metrics.normalised_match(expected, answer)
    if compare.absolute or compare.relative:
        try:
            number = float(expected)
        except ValueError:
            return metrics.exact_match(expected, answer)
        return metrics.within_tolerance(
            number, answer, absolute=compare.absolute, relative=compare.relative
        )
    return metrics.exact_match(expected, answer)


def _check_values(task: Task, item: Item, expected: Mapping[str, Any]) -> None:
    """Refuse an expected text that is to be a pattern and is none."""
    for name, compare in task.compare.items():
        value = expected.get(name)
        if compare.match == "pattern" and isinstance(value, str):
            try:
                metrics.pattern_match(value, "")
            except ValueError as error:
                raise _unfit(item, f"expects {value[:80]!r}, which is no pattern") from error


def unfit_reason(task: Task, item: Item) -> str:
    """Why an item does not fit a task, in words that tell nothing of it; "" where it fits."""
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
