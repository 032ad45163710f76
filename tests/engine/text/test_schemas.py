"""Limits of schemas from clients, and the check of a finished text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.text.schemas import (
    MAX_DEPTH,
    check_expression,
    checked_schema,
    json_validator,
)
from appliance.errors import BadRequest


def nested(depth: int) -> str:
    return '{"not":' * (depth - 1) + "{}" + "}" * (depth - 1)


def test_the_deepest_schema_that_is_taken() -> None:
    assert checked_schema(nested(MAX_DEPTH))
    with pytest.raises(BadRequest):
        checked_schema(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize(
    "source",
    ["", "{", "[]", "true", "null", "[" * 100_000, nested(100_000)],
    ids=lambda source: source[:12],
)
def test_what_is_no_schema_of_ours_is_refused(source: str) -> None:
    with pytest.raises(BadRequest) as caught:
        checked_schema(source)
    assert (caught.value.code, caught.value.param) == ("invalid_schema", "response_format")


@pytest.mark.parametrize("expression", ["^+x$", "a|^*b", "x$?", r"\\^{2}", "[a]^+", "^^+"])
def test_a_repeated_anchor_is_refused_wherever_it_stands(expression: str) -> None:
    schemas: list[dict[str, object]] = [
        {"pattern": expression},
        {"properties": {"a": {"items": {"pattern": expression}}}},
        {"patternProperties": {expression: {}}},
    ]
    for schema in schemas:
        with pytest.raises(BadRequest, match="repeats"):
            checked_schema(json.dumps(schema))


@pytest.mark.parametrize(
    "expression", ["^x+$", "[^+x]", r"\^+", "[$*]", r"[\]^+]", "(^x)+", "^[0-9]{2}$", "", "["]
)
def test_other_expressions_are_taken(expression: str) -> None:
    assert checked_schema(json.dumps({"pattern": expression, "patternProperties": {"a": {}}}))
    assert checked_schema('{"properties": {"pattern": {"type": "string"}}, "patternProperties": 1}')


@given(st.text(max_size=40))
def test_any_text_is_a_schema_or_refused(source: str) -> None:
    try:
        assert checked_schema(source) == json.loads(source)
    except BadRequest as error:
        assert error.code == "invalid_schema"


def test_a_finished_text_is_checked_against_the_whole_schema() -> None:
    accepts = json_validator({"type": "object", "required": ["a"]})
    assert accepts('{"a": 1}') and not accepts("{}") and not accepts("[]")
    with pytest.raises(ValueError):
        accepts('{"a": ')


def test_repetitions_are_counted_in_all_expressions_together() -> None:
    check_expression(r"[*+]\*" + "a*" * 2000)
    with pytest.raises(BadRequest) as caught:
        check_expression("a*" * 2001)
    assert "repetitions" in caught.value.message
    half = {"type": "string", "pattern": "a?" * 1001}
    checked_schema(json.dumps({"properties": {"a": half}}))
    with pytest.raises(BadRequest):
        checked_schema(json.dumps({"properties": {"a": half, "b": half}}))
