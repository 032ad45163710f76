"""Schemas that compile for ever are refused; what people write is not."""

from typing import Any

import pytest

from appliance.engine.text.schema_cost import (
    LARGEST_DIVISOR,
    MOST_DATA,
    MOST_NAMES,
    MOST_TOGETHER,
    costly,
)
from appliance.engine.text.schemas import checked_schema
from appliance.errors import BadRequest

PATTERN = {"type": "string", "pattern": "a.{3}b"}


def together(count: int) -> dict[str, Any]:
    return {"allOf": [PATTERN] * count}


def properties(count: int, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {f"{n:x}": {} for n in range(count)}, **more}


ALLOWED: list[Any] = [
    together(MOST_TOGETHER),
    {"anyOf": [PATTERN] * 100},
    {"properties": {f"p{n}": PATTERN for n in range(100)}},
    {"allOf": [{"properties": {f"p{n}": PATTERN for n in range(100)}}, {"properties": {}}]},
    {"$defs": {"a": PATTERN}, "properties": {str(n): {"$ref": "#/$defs/a"} for n in range(100)}},
    {"type": "number", "multipleOf": 0.001},
    {"type": "integer", "multipleOf": 10**9},
    {"properties": {str(n): {"multipleOf": 9973} for n in range(100)}},
    {"multipleOf": True},
    {"multipleOf": "x"},
    {"patternProperties": {f"^{n}$": {} for n in range(MOST_NAMES)}},
    properties(498),
    properties(3000, required=[f"{n:x}" for n in range(2600)]),
    {"properties": {str(n): properties(400) for n in range(10)}},
    {"anyOf": [{"type": "array"}] * 284},
    {"anyOf": [{"const": str(n)} for n in range(3000)]},
    {"enum": [*map(str, range(9000))]},
    {"items": [{"enum": ["x"]}] * 2000},
    {"enum": [{"a": n} for n in range(MOST_DATA)]},
    {"const": ["a"] * 2 * MOST_DATA},
    [],
]


@pytest.mark.parametrize("schema", ALLOWED)
def test_what_compiles_in_time_is_allowed(schema: Any) -> None:
    assert costly(schema) == ""


REFUSED: list[Any] = [
    together(MOST_TOGETHER + 1),
    {"pattern": "x", **together(MOST_TOGETHER)},
    {"format": "date", **together(MOST_TOGETHER)},
    {"allOf": [together(2), together(2)]},
    {"properties": {"a": {"items": together(9)}}},
    {"allOf": [{"properties": {"a": PATTERN}}] * 4},
    {"$defs": {str(n): {"$ref": f"#/$defs/{n + 1}", "pattern": "x"} for n in range(30)}},
    {"multipleOf": 999_983},
    {"multipleOf": 0.999983},
    {"allOf": [{"multipleOf": 257}, {"multipleOf": 263}]},
    {"patternProperties": {f"^{n}$": {} for n in range(MOST_NAMES + 1)}},
    properties(499),
    properties(600, required="no list"),
    {"anyOf": [{"type": "array"}] * 285},
    {"anyOf": [True] * 285},
    {"items": {"anyOf": [properties(100)] * 5}},
    {"allOf": [properties(250)] * 2},
    {"enum": [{}] * (MOST_DATA + 1)},
    {"const": [None] * 3 * MOST_DATA},
    {"enum": [["a"] * 3 * MOST_DATA]},
    {"const": dict.fromkeys(map(str, range(3 * MOST_DATA)))},
    {"const": [[[]]] * (MOST_DATA // 2)},
    {"anyOf": [{"const": [n]} for n in range(MOST_DATA + 1)]},
]


@pytest.mark.parametrize("schema", REFUSED)
def test_what_does_not_is_refused_with_its_reason(schema: Any) -> None:
    assert costly(schema)
    assert LARGEST_DIVISOR == 65_536


def test_the_refusal_is_that_of_a_schema() -> None:
    with pytest.raises(BadRequest) as caught:
        checked_schema('{"multipleOf": 999983}')
    assert caught.value.code == "invalid_schema"
