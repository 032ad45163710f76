"""From answers to scores: what is expected is one text, and what cannot be read scores 0."""

import json
from typing import Any

import pytest

from appliance.datasets.items import Item
from appliance.errors import EvaluationRefused
from appliance.evals import scoring
from appliance.tasks.definition import parse
from tests.tasks.example import FIELDS, LABELS

TASK = parse(LABELS.encode())
FORM = parse(FIELDS.encode())
EXACT = parse(FIELDS.replace('"field_accuracy"', '"exact_match"').encode())
LOOSE = parse(LABELS.replace('"exact_match"', '"normalised_match"').encode())
TEXT = parse(
    (
        LABELS.split("[output]")[0] + '[output]\nform = "text"\n[gate]' + LABELS.split("[gate]")[1]
    ).encode()
)


def item(expected: Any = "engine", **fields: Any) -> Item:
    return Item("i1", "g1", fields or {"text": "no start"}, expected)


def test_values_that_are_no_text_are_written_as_json() -> None:
    task = parse(LABELS.replace('name = "text", max_chars = 500', 'name = "hours"').encode())
    assert scoring.input_of(task, item(hours=5)) == {"hours": "5"}
    assert scoring.input_of(task, item(hours=True)) == {"hours": "true"}


def test_an_optional_field_may_be_missing_and_a_required_one_not() -> None:
    optional = parse(LABELS.replace("max_chars = 500", "required = false").encode())
    assert scoring.input_of(optional, item(other="x")) == {}
    with pytest.raises(EvaluationRefused) as caught:
        scoring.input_of(TASK, item(other="x"))
    assert caught.value.code == "item_unfit"


@pytest.mark.parametrize(
    ("task", "expected"), [(TASK, "wings"), (FORM, "engine"), (TEXT, {"a": 1})]
)
def test_an_answer_that_the_form_cannot_give_is_refused(task: Any, expected: Any) -> None:
    with pytest.raises(EvaluationRefused) as caught:
        scoring.expected_of(task, item(expected))
    assert caught.value.code == "item_unfit"


def test_objects_are_expected_in_one_order() -> None:
    one = scoring.expected_of(FORM, item({"b": 1, "a": "é"}))
    assert one == scoring.expected_of(FORM, item({"a": "é", "b": 1})) == '{"a":"é","b":1}'


def test_labels_and_texts_are_matched_as_the_gate_says() -> None:
    assert scoring.score(TASK, "engine", " engine") == 1
    assert scoring.score(TASK, "engine", "Engine") == 0
    assert scoring.score(LOOSE, "engine", "Engine.") == 1
    assert scoring.score(TEXT, "a b", "a b") == 1
    assert scoring.score(TASK, "engine", None) == 0


def test_fields_are_scored_one_by_one_or_as_a_whole() -> None:
    expected = scoring.canonical({"a": 1, "b": "x"})
    half = json.dumps({"a": 1, "b": "y"})
    assert scoring.score(FORM, expected, half) == 0.5
    assert scoring.score(EXACT, expected, half) == 0
    assert scoring.score(EXACT, expected, json.dumps({"b": "x", "a": 1})) == 1


def test_a_metric_of_another_form_that_an_older_version_let_in_scores_exact_match() -> None:
    unfit = parse(FIELDS.replace('"field_accuracy"', '"normalised_match"').encode())
    expected = scoring.canonical({"a": "x"})
    assert scoring.score(unfit, expected, '{"a":"x"}') == 1
    assert scoring.score(unfit, expected, '{"a":"X."}') == 0


@pytest.mark.parametrize("answer", [None, "", "{", "[]", "5", "[" * 100_000])
def test_what_is_no_object_scores_nothing(answer: str | None) -> None:
    assert scoring.score(FORM, '{"a":1}', answer) == 0


NEAR = parse(
    (
        FIELDS
        + """[compare.hours]
absolute = 0.5
[compare.count]
relative = 0.1
[compare.note]
match = "pattern"
[compare.part]
match = "normalised"
"""
    ).encode()
)


def test_an_expected_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(EvaluationRefused) as caught:
        scoring.expected_of(NEAR, item({"note": "WO-["}))
    assert caught.value.code == "item_unfit"


def test_a_text_is_compared_as_the_task_says() -> None:
    source = LABELS.split("[output]")[0] + '[output]\nform = "text"\n[gate]'
    task = parse(
        (source + LABELS.split("[gate]")[1] + '[compare.text]\nmatch = "pattern"\n').encode()
    )
    assert scoring.score(task, "[0-9]+ bar", "12 bar") == 1
    assert scoring.score(task, "[0-9]+ bar", "12") == 0
