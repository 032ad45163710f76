"""Schemas: names in their order, what is allowed, and properties as lines say them."""

import msgspec
import pytest

from appliance.tasks.schemas import ObjectSchema
from tests.tasks import example


def test_a_schema_tells_its_names_and_what_it_accepts() -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    held = ObjectSchema(schema)
    assert [held.accepts(each) for each in ({"a": 1}, {"a": "1"}, None)] == [True, False, False]
    assert held.names == ["a"] and held.required == {"a"}
    assert held == ObjectSchema(dict(schema)) != ObjectSchema({})
    assert ObjectSchema({}).names == []


def test_a_property_tells_its_types_and_options() -> None:
    held = ObjectSchema(example.SCHEMA)
    assert held.of("part").types == {"string", "null"} and held.of("part").options is None
    assert held.of("side").options == ["left", "right", None]
    assert held.of("side").types == {"string", "null"}
    fixed = ObjectSchema({"properties": {"a": {"const": None}, "b": True, "c": {}}})
    assert fixed.of("a").options == [None] and fixed.of("c").types == {"unstated"}
    with pytest.raises(msgspec.ValidationError):
        fixed.of("b")
