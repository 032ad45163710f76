"""A client's schema on its way to the masks: references, ends, the calendar."""

import calendar
import json
import re
from typing import Any

import pytest

from appliance.engine.text.enforceable import FORMATS, enforceable
from appliance.engine.text.schemas import json_validator
from appliance.errors import BadRequest

DATE, TIME = re.compile(FORMATS["date"]), re.compile(FORMATS["time"])


def refusal(schema: dict[str, Any]) -> str:
    with pytest.raises(BadRequest) as caught:
        enforceable(schema)
    assert caught.value.code == "invalid_schema"
    return caught.value.message


def in_a(schema: Any) -> list[dict[str, Any]]:
    return [
        schema, {"type": "object", "properties": {"a": schema}}, {"anyOf": [{}, schema]},
        {"type": "array", "items": schema}, {"$defs": {"d": schema}},
        {"type": "array", "prefixItems": [{}, schema]}, {"additionalProperties": schema},
    ]  # fmt: skip


@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:9/s", "https://a.example/s#/x", "file:///etc/passwd", "other.json"]
)
def test_a_reference_to_another_document_is_refused_by_name(keyword: str, target: str) -> None:
    for schema in in_a({keyword: target}):
        assert f"{keyword} leads to another document" in refusal(schema)


def test_the_validator_fetches_nothing() -> None:
    for target in ("http://127.0.0.1:9/s", "file:///etc/passwd"):
        with pytest.raises(ValueError, match="is another document, and none is fetched"):
            json_validator({"$ref": target})


def test_what_only_looks_like_a_reference_or_a_format_is_left_alone() -> None:
    data = {"$ref": "http://a.example/", "format": "date"}
    schema: dict[str, Any] = {
        "properties": {"$ref": {"type": "string"}, "format": {"enum": [data]}, "enum": {}},
        "const": data,
        "default": [data],
    }
    assert enforceable(schema) == schema


NODE = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}


@pytest.mark.parametrize(
    "schema",
    [
        NODE,
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"anyOf": [{"$ref": "#"}, NODE]},
        {"type": "array", "minItems": 1, "items": {"$ref": "#"}},
        {"type": "array", "minItems": 2, "prefixItems": [{}, {"$ref": "#"}]},
        {"type": "object", "required": ["a"], "properties": {"a": {"allOf": [{"$ref": "#"}]}}},
        {"$ref": "#/$defs/a%20b", "$defs": {"a b": {"$ref": "#/$defs/a%20b"}}},
    ],
)
def test_a_document_without_an_end_is_refused(schema: dict[str, Any]) -> None:
    assert "without an end" in refusal(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {**NODE, "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}},
        {**NODE, "required": []},
        {**NODE, "type": ["object", "null"]},
        {"type": "array", "items": {"$ref": "#"}},
        {"type": "array", "minItems": 1, "prefixItems": [{}, {"$ref": "#"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"type": "null"}}},
        {"$ref": "#somewhere"}, {"$ref": "#/nowhere/1"}, {"$ref": "#/allOf/7", "allOf": [{}]},
    ],
)  # fmt: skip
def test_a_recursion_with_an_end_is_taken(schema: dict[str, Any]) -> None:
    assert enforceable(schema) == schema


def test_a_chain_of_references_has_the_end_of_its_last() -> None:
    chain = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(1500)}
    definitions: dict[str, Any] = {**chain, "d1500": {"type": "null"}}
    schema: dict[str, Any] = {"$ref": "#/$defs/d0", "$defs": definitions}
    assert len(json.dumps(schema)) < 64 << 10
    assert enforceable(schema) == schema
    backward = {**schema, "$defs": dict(reversed(definitions.items()))}
    assert enforceable(backward) == backward


@pytest.mark.parametrize("year", [1, 1900, 2000, 2023, 2024, 2100, 2400, 9999])
def test_a_date_is_one_of_the_calendar(year: int) -> None:
    for month in range(14):
        days = calendar.monthrange(year, month)[1] if 1 <= month <= 12 else 0
        for day in range(33):
            text = f"{year:04}-{month:02}-{day:02}"
            assert bool(DATE.fullmatch(text)) == (1 <= day <= days), text


@pytest.mark.parametrize(
    "text", ["0000-01-01", "0000-02-29", "2023-2-1", "12023-01-01", "2023-01-01x"]
)
def test_what_is_no_date(text: str) -> None:
    assert not DATE.fullmatch(text)


@pytest.mark.parametrize(
    ("text", "is_time"),
    [
        ("00:00:00Z", True), ("23:59:59.5+23:59", True), ("12:00:00-00:30", True),
        ("23:59:60Z", False), ("24:00:00Z", False), ("12:60:00Z", False), ("12:00:00", False),
        ("12:00:00+24:00", False), ("12:00:00.Z", False), ("12:00:00z", False),
    ],
)  # fmt: skip
def test_a_time_is_one_of_a_day(text: str, is_time: bool) -> None:
    assert bool(TIME.fullmatch(text)) is is_time
    moment = f"2024-02-29T{text}"
    assert bool(re.fullmatch(FORMATS["date-time"], moment)) is is_time


def test_a_format_becomes_a_pattern_beside_those_of_the_client() -> None:
    own: dict[str, Any] = {"type": "string", "format": "date", "pattern": "^2"}
    pattern = {"pattern": FORMATS["date"]}
    assert enforceable({"format": "date"}) == pattern
    assert enforceable(own) == {"type": "string", "pattern": "^2", "allOf": [pattern]}
    assert own["format"] == "date", "the client's schema is not changed"


def test_the_validator_knows_the_calendar_by_itself() -> None:
    valid = json_validator({"type": "string", "format": "date"})
    assert valid('"2024-02-29"') and not valid('"2023-02-29"')
