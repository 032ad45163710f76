"""The schema and the grammar by hand describe the same documents."""

import json

import jsonschema_rs
import llguidance
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance.gbnf_to_lark import gbnf_to_lark

from benchmarks.documents import GRAMMAR, KEYS, SCHEMA, valid

GOOD = {
    "machine": "press",
    "component": "seal",
    "failure_mode": "leak",
    "severity": "high",
    "line": 12,
    "shift": "night",
    "downtime_minutes": 999,
    "temperature_c": 200,
    "requires_stop": True,
    "safety_risk": False,
    "spare_part_needed": True,
    "recommended_action": "replace the seal",
}


def test_the_schema_is_one() -> None:
    jsonschema_rs.meta.validate(SCHEMA)
    assert list(GOOD) == KEYS == list(SCHEMA["properties"])


def test_a_document() -> None:
    assert valid(json.dumps(GOOD))
    assert valid(json.dumps(GOOD, indent=2))


@pytest.mark.parametrize(
    "change", [{"line": 13}, {"temperature_c": 201}, {"machine": "car"}, {"more": 1}]
)
def test_no_document(change: dict[str, object]) -> None:
    assert not valid(json.dumps(GOOD | change))


@pytest.mark.parametrize("text", ["", "{", json.dumps(GOOD)[:-1], "null"])
def test_a_cut_text_is_no_document(text: str) -> None:
    assert not valid(text)


def accepts(text: str) -> bool:
    """To the text's end."""
    grammar = llguidance.LLMatcher.grammar_from_lark(gbnf_to_lark(GRAMMAR))
    matcher = llguidance.LLMatcher(llguidance.LLTokenizer("byte"), grammar)
    assert not matcher.is_error(), matcher.get_error()
    return bool(matcher.consume_tokens(list(text.encode())) and matcher.is_accepting())


def value(name: str) -> st.SearchStrategy[object]:
    """Anything that the schema allows for a key."""
    rule = SCHEMA["properties"][name]
    if "enum" in rule:
        return st.sampled_from(rule["enum"])
    if rule["type"] == "integer":
        return st.integers(rule["minimum"], rule["maximum"])
    if rule["type"] == "boolean":
        return st.booleans()
    return st.text("abcxyz ,.-", max_size=rule["maxLength"])


@settings(max_examples=50, deadline=None)
@given(st.fixed_dictionaries({name: value(name) for name in KEYS}))
def test_the_grammar_takes_compact_documents_of_the_schema(document: dict[str, object]) -> None:
    text = json.dumps({name: document[name] for name in KEYS}, separators=(",", ":"))
    assert valid(text)
    assert accepts(text)


@pytest.mark.parametrize(
    "change",
    [{"line": 13}, {"line": 0}, {"temperature_c": 201}, {"downtime_minutes": 1000}, {"more": 1}],
)
def test_the_grammar_takes_nothing_else(change: dict[str, object]) -> None:
    assert not accepts(json.dumps(GOOD | change, separators=(",", ":")))
    assert not accepts(json.dumps(GOOD))  # white space
