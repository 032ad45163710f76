"""Texts that end strings: what is tried, and that it is narrower than what was asked for."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.text.phrases import endings, expressions, formats, spelled, whole

PARTS = st.sampled_from(
    ["a", "b*", "[0-9]+", r"\.", "(ab)?", "(c|d)", "x{2,}", "[^a]{0,3}", r"\d{2}", "(e|f)+", "."]
)


@pytest.mark.parametrize(
    ("expression", "narrow"),
    [
        ("[0-9]{3}", "^(?:[0-9]{3})$"), (r"\.txt$", r"^(?:\.txt)$"), ("^a*b+?c$", "^(?:bc)$"),
        ("[A-Z]{2,4}-[0-9]{2,}", "^(?:[A-Z]{2}-[0-9]{2})$"), ("(ab)+(c)*", "^(?:(ab))$"),
        ("a\\$", "^(?:a\\$)$"), ("x{0,9}y{0,}z", "^(?:z)$"),
    ],
)  # fmt: skip
def test_an_expression_is_narrowed(expression: str, narrow: str) -> None:
    assert whole(expression) == narrow


@given(st.lists(PARTS, min_size=1, max_size=5).map("".join), st.data())
def test_what_the_narrow_one_accepts_the_expression_accepts(expression: str, data: object) -> None:
    text = data.draw(st.from_regex(whole(expression), fullmatch=True))  # type: ignore[attr-defined]
    assert re.search(expression, text, re.DOTALL)


def test_every_end_is_tried_the_shortest_first() -> None:
    assert endings("a:b") == ["b", ":b", "a:b"]
    assert endings("x" * 65) == []
    assert formats({"anyOf": [{"format": "uri"}, {"format": "weird"}, {"format": 1}]})[:2] == [
        ":", "a:",
    ]  # fmt: skip
    assert formats({"format": "date"}) == []


def test_expressions_are_found_wherever_they_are() -> None:
    schema = {"properties": {"a": {"pattern": "x+"}}, "patternProperties": {"^y": {}}}
    calls = ["hermes", True, {"f": schema}]
    both = json.dumps([json.dumps(calls), "json_schema", json.dumps({"pattern": "z"})])
    assert sorted(expressions(json.loads(both))) == ["^(?:x)$", "^(?:y)$", "^(?:z)$"]
    assert len(expressions([{"pattern": f"{n}"} for n in range(40)])) == 16


def test_a_text_is_spelled_by_the_longest_tokens() -> None:
    known = {b"a": 0, b"ab": 1, b"c": 2}
    assert list(spelled(b"abac", known, 2)) == [1, 0, 2]
    assert list(spelled(b"ax", known, 2)) == [0]
