"""The spellings of a constraint; one is asked for at a time."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from appliance.types import Constraint
from appliance.wire.openai.chat import ChatRequest
from appliance.wire.openai.completions import CompletionRequest
from appliance.wire.openai.constraints import ConstraintFields
from tests.wire.bodies import smallest

OBJECT = {"type": "object", "properties": {"é": {"enum": ["ü"]}}}
TEXT = json.dumps(OBJECT, separators=(",", ":"))


def asked(**fields: Any) -> Constraint | None:
    return ConstraintFields.model_validate(fields).constraint


def refusal(**fields: Any) -> tuple[str, Any]:
    with pytest.raises(ValidationError) as caught:
        ConstraintFields.model_validate(fields)
    error = caught.value.errors()[0]
    return error["type"], error["loc"] or error["ctx"]["field"]


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({}, None),
        ({"response_format": None, "guided_json": None, "guided_regex": None}, None),
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "json_object"}}, Constraint("json_object")),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "strict": True, "schema": OBJECT},
                }
            },
            Constraint("json_schema", TEXT),
        ),
        ({"json_schema": OBJECT}, Constraint("json_schema", TEXT)),
        ({"guided_json": OBJECT}, Constraint("json_schema", TEXT)),
        ({"guided_json": json.dumps(OBJECT, indent=2)}, Constraint("json_schema", TEXT)),
        ({"guided_regex": "a+"}, Constraint("regex", "a+")),
        ({"guided_choice": ["ja", "nein"]}, Constraint("choice", '["ja", "nein"]')),
        ({"response_format": {"type": "text"}, "guided_regex": "a"}, Constraint("regex", "a")),
        ({"guided_grammar": "report"}, Constraint("grammar", "report")),
        (
            {"response_format": {"type": "grammar", "grammar": "report"}},
            Constraint("grammar", "report"),
        ),
    ],
)
def test_every_spelling(fields: dict[str, Any], constraint: Constraint | None) -> None:
    assert asked(**fields) == constraint


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"response_format": "text"}, ("response_format",)),
        ({"response_format": {}}, ("response_format", "type")),
        ({"response_format": {"type": "xml"}}, ("response_format", "type")),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            ("response_format", "json_schema", "schema"),
        ),
        ({"response_format": {"type": "json_schema"}}, ("response_format",)),
        ({"response_format": {"type": "grammar"}}, ("response_format",)),
        ({"json_schema": True}, ("json_schema",)),
        ({"guided_json": 5}, ("guided_json",)),
        ({"guided_json": "{"}, ("guided_json",)),
        ({"guided_json": "[1]"}, ("guided_json",)),
        ({"guided_json": "[" * 100_000}, ("guided_json",)),
        ({"guided_regex": ""}, ("guided_regex",)),
        ({"guided_regex": "\ud800"}, ("guided_regex",)),
        ({"guided_choice": []}, ("guided_choice",)),
        ({"guided_choice": [1]}, ("guided_choice", 0)),
    ],
)
def test_a_wrong_spelling_names_its_field(fields: dict[str, Any], place: Any) -> None:
    assert refusal(**fields)[1] == place


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize("schema", [{"const": float("nan")}, deep(100_000)])
def test_a_schema_that_is_no_json_is_refused(schema: dict[str, Any]) -> None:
    assert refusal(json_schema=schema) == ("invalid_value", "response_format")


@pytest.mark.parametrize(
    "fields",
    [
        {"guided_regex": "a", "guided_choice": ["a"]},
        {"json_schema": {}, "guided_json": {}},
        {"response_format": {"type": "json_object"}, "guided_json": {}},
        {"guided_grammar": "a", "guided_regex": "a"},
    ],
)
def test_two_constraints_at_once_are_refused(fields: dict[str, Any]) -> None:
    assert refusal(**fields) == ("invalid_value", "response_format")


def test_what_leaves_is_ascii_so_that_it_can_be_framed_and_hashed() -> None:
    got = asked(guided_json='{"const": "\\ud83d\\ude00"}')
    assert got and got.source.isascii()


@pytest.mark.parametrize("kind", [ChatRequest, CompletionRequest])
def test_both_routes_take_constraints(kind: type[ChatRequest | CompletionRequest]) -> None:
    body = {**smallest(kind), "guided_regex": "a"}
    assert kind.model_validate(body).constraint == Constraint("regex", "a")


@pytest.mark.parametrize("text", ['root ::= "yes"', 'start: "a"', "", "../a", "x" * 65, "\ud800"])
@pytest.mark.parametrize("spelling", ["guided_grammar", "response_format"])
def test_a_grammar_is_named_and_never_taken(spelling: str, text: str) -> None:
    asked: Any = text if spelling == "guided_grammar" else {"type": "grammar", "grammar": text}
    with pytest.raises(ValidationError) as caught:
        ConstraintFields.model_validate({spelling: asked})
    error = caught.value.errors()[0]
    assert error["loc"][0] == spelling
    assert error["type"] in {"unsupported_parameter", "string_unicode"}


def test_the_text_of_a_schema_is_made_once() -> None:
    fields = ConstraintFields.model_validate({"json_schema": OBJECT})
    assert fields.constraint is fields.constraint is not None
