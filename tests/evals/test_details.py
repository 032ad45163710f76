"""Details: by field, in form, macro-F1, refusals, each weighted by group, failures wrong."""

import json
from dataclasses import replace

import pytest

from appliance.errors import TaskRefused
from appliance.evals.details import CandidateDetails, details, shown
from appliance.evals.outcomes import Outcome
from appliance.tasks.definition import parse
from appliance.tasks.loaded import load
from tests.evals.example import outcomes
from tests.tasks.example import FIELDS, LABELS, SCHEMA

TEXT = LABELS.split("[output]")[0] + '[output]\nform = "text"\n[gate]' + LABELS.split("[gate]")[1]


def told(text: str, made: list[Outcome]) -> CandidateDetails:
    files = {"task.toml": text.encode(), "schema.json": json.dumps(SCHEMA).encode()}
    return details(load(lambda name, most: files[name][:most], "d"), made)


def outcome(n: int, expected: str, answer: str | None) -> Outcome:
    return Outcome(f"i{n}", f"g{n}", expected, answer, 0, 1, failure="" if answer else "timeout")


def test_labels_have_macro_f1_and_a_share_in_form() -> None:
    text = LABELS.replace('"hydraulics", "engine", "electrical"', '"a", "b"')
    found = told(
        text, [*outcomes(60)[:118], *(replace(o, answer="zzz") for o in outcomes(0)[118:])]
    )
    assert found.adherence is not None
    assert found.adherence.value == pytest.approx(118 / 120)
    assert found.macro_f1 is not None and 0 < found.macro_f1.value < 1
    assert found.fields == {} and found.refusals == 0


def test_fields_are_told_one_by_one_and_what_the_schema_refuses_is_not_in_form() -> None:
    right = {"part": "hose", "side": None, "hours": 2, "count": 1, "urgent": True, "note": "x"}
    expected = json.dumps(right)
    made = [
        outcome(1, expected, json.dumps(right)),
        outcome(2, expected, json.dumps({**right, "part": "pump"})),
        outcome(3, expected, json.dumps({**right, "side": "up"})),
        outcome(4, expected, "I'm sorry, I cannot"),
        outcome(5, expected, None),
    ]
    found = told(FIELDS, made)
    assert found.adherence is not None
    assert found.adherence.value == pytest.approx(2 / 5)
    assert found.fields["part"].value == pytest.approx(2 / 5)
    assert found.fields["hours"].value == pytest.approx(3 / 5)
    assert found.fields["side"].interval.low < 2 / 5 < found.fields["side"].interval.high
    assert found.refusals == 1
    assert shown(found.adherence) == (found.adherence.value, *found.adherence.interval)
    assert shown(None) is None


def test_a_field_that_is_not_expected_is_right_when_it_is_left_out() -> None:
    made = [
        outcome(1, '{"part": "hose"}', '{"part": "hose"}'),
        outcome(2, '{"part": "hose", "hours": 2}', '{"part": "hose", "hours": 2}'),
        outcome(3, '{"part": "hose"}', '{"part": "hose", "hours": 2}'),
    ]
    assert told(FIELDS, made).fields["hours"].value == pytest.approx(2 / 3)


def test_texts_have_two_more_measures() -> None:
    made = [outcome(1, "boom hose", "Boom hose."), outcome(2, "boom hose", "hose")]
    found = told(TEXT, made)
    assert found.normalised is not None and found.normalised.value == 0.5
    assert found.token_f1 is not None and found.token_f1.value == pytest.approx(5 / 6)
    assert found.adherence is None


def test_what_answers_cite_is_counted_by_answer() -> None:
    made = [
        replace(outcome(1, "x", "x"), cited=2, cited_right=1, cited_removed=2),
        replace(outcome(2, "x", "x"), cited=1, cited_right=1, cited_removed=0),
        replace(outcome(3, "x", "x"), cited=1, cited_removed=0),  # its documents are not known
        replace(outcome(4, "x", "refusal"), cited=0, cited_right=0, cited_removed=1),
        outcome(5, "x", None),
    ]
    found = told(TEXT, made)
    assert found.evidence is not None and found.evidence.value == pytest.approx(3 / 5)
    assert found.verified is not None and found.verified.value == pytest.approx(2.5 / 4)
    assert found.citation_precision is not None
    assert found.citation_precision.value == pytest.approx(1.5 / 2)


def test_answers_that_quote_nothing_have_no_precision() -> None:
    found = told(TEXT, [replace(outcome(1, "x", "y"), cited=0, cited_right=0, cited_removed=0)])
    assert found.evidence is not None and found.evidence.value == 0
    assert found.verified is found.citation_precision is None
    assert told(TEXT, [outcome(1, "x", "y")]).evidence is None


def test_compare_is_a_table_of_fields_and_text_alone() -> None:
    for text, key in ((LABELS, "text"), (TEXT, "hours")):
        with pytest.raises(TaskRefused, match="compare"):
            parse((text + f"[compare.{key}]\nabsolute = 1.0\n").encode())
    with pytest.raises(TaskRefused, match="weight"):
        told(FIELDS + "[compare.weight]\nabsolute = 1.0\n", [])


ICD = """[output]
form = "labels"
labels = ["J45.901", "J45.20", "J18.9", "E11.9"]
[output.levels]
category = 3
[output.levels.chapter]
"J45.901" = "X"
"J45.20" = "X"
"J18.9" = "X"
"E11.9" = "IV"
[gate]"""


def test_labels_count_by_level() -> None:
    """ICD: the right category or chapter counts as nearer."""
    toml = LABELS.split("[output]")[0] + ICD + LABELS.split("[gate]")[1]
    said = ("J45.901", "J45.20", "J18.9", "E11.9", None, "nonsense")
    made = [outcome(n, "J45.901", answer) for n, answer in enumerate(said)]
    found = told(toml, made).levels
    assert found["category"].value == pytest.approx(2 / 6)
    assert found["chapter"].value == pytest.approx(3 / 6)
    assert told(LABELS, made).levels == {}
    with pytest.raises(TaskRefused) as refused:
        told(toml.replace('"E11.9" = "IV"', '"E11.8" = "IV"'), made)
    assert refused.value.code == "task_invalid" and "output.levels.chapter" in str(refused.value)
