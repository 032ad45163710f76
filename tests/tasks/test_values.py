"""Values alone: they stand for exactly one answer, and what they cannot say is refused."""

import json
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from appliance.errors import TaskRefused
from appliance.tasks import values
from appliance.tasks.schemas import ObjectSchema
from tests.tasks import example

SCHEMA = ObjectSchema(example.SCHEMA)
ANSWER = {
    "part": "hose", "side": None, "hours": 2.5, "count": 3, "urgent": True, "note": "a\nb\\",
}  # fmt: skip


def one(property_: Any, required: tuple[str, ...] = ("a",)) -> ObjectSchema:
    return ObjectSchema(
        {"type": "object", "properties": {"a": property_}, "required": list(required)}
    )


def test_an_answer_is_written_a_value_a_line_and_read_again() -> None:
    text = values.write(SCHEMA, ANSWER)
    assert text == "hose\n\n2.5\n3\ntrue\na\\nb\\\\"
    assert values.read(SCHEMA, text) == ANSWER
    assert len(text) < len(json.dumps(ANSWER)) / 2


@given(
    st.fixed_dictionaries(
        {
            "part": st.none() | st.text(min_size=1, max_size=20),
            "side": st.sampled_from(["left", "right", None]),
            "hours": st.integers(-1000, 1000) | st.integers(-9999, 9999).map(lambda n: n / 8),
            "count": st.integers(-(10**9), 10**9),
            "urgent": st.booleans(),
            "note": st.text(max_size=20),
        }
    )
)
def test_whatever_is_written_is_read_again(answer: dict[str, Any]) -> None:
    text = values.write(SCHEMA, answer)
    assert values.read(SCHEMA, text) == answer
    assert re.fullmatch(values.expression(SCHEMA), text)


@given(st.text(max_size=60))
def test_a_text_is_read_only_if_the_constraint_allows_it(text: str) -> None:
    assume(len(text) < 60)
    allowed = re.fullmatch(values.expression(SCHEMA), text) is not None
    try:
        values.read(SCHEMA, text)
    except TaskRefused as error:
        assert error.code == "task_answer_invalid"
        assert not allowed
    else:
        assert allowed


@pytest.mark.parametrize(
    ("property_", "named"),
    [
        ({"type": "array"}, "scalar"),
        ({"type": ["string", "object"]}, "scalar"),
        ({}, "scalar"),
        ({"enum": ["a", {}]}, "scalar"),
        ({"enum": [1.5]}, "scalar"),
        ({"enum": ["", None]}, "alike"),
        ({"type": "string", "pattern": "^a"}, "pattern"),
        ({"type": "string", "format": "date"}, "format"),
        (True, "scalar"),
    ],
)
def test_a_schema_that_values_cannot_say_is_refused(property_: Any, named: str) -> None:
    with pytest.raises(TaskRefused, match=named) as caught:
        values.check(one(property_))
    assert caught.value.code == "task_schema_invalid"


def test_a_property_that_may_be_left_out_is_refused() -> None:
    with pytest.raises(TaskRefused, match="require each"):
        values.check(one({"type": "string"}, required=()))


def test_the_example_is_a_fit_schema() -> None:
    values.check(SCHEMA)


@pytest.mark.parametrize(
    ("property_", "value"),
    [
        ({"type": ["string", "integer"]}, "12"),
        ({"type": ["string", "null"]}, ""),
        ({"type": ["boolean", "string"]}, "true"),
        ({"type": "string", "maxLength": 2}, "abc"),
        ({"type": "integer"}, 10**17),
        ({"type": "number"}, 1e-30),
        ({"enum": ["a", "b"]}, "c"),
        ({"type": "string"}, None),
        ({"type": "string"}, ["a"]),
    ],
)
def test_an_answer_that_would_be_read_as_another_is_refused(property_: Any, value: Any) -> None:
    with pytest.raises(TaskRefused) as caught:
        values.write(one(property_), {"a": value})
    assert caught.value.code == "task_answer_unfit"


@pytest.mark.parametrize(
    "text", ["", "a\nb", "hose\nup\n1\n1\ntrue\n", "hose\nleft\n1e5\n1\ntrue\n"]
)
def test_lines_that_break_the_form_are_refused(text: str) -> None:
    with pytest.raises(TaskRefused) as caught:
        values.read(SCHEMA, text)
    assert caught.value.code == "task_answer_invalid"
