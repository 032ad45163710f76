"""Grammars as signed files: named, bounded, read, or refused with one code."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.text import schemas
from appliance.errors import SignatureRefused
from appliance.trust.artifacts import grammar
from appliance.wire.openai import constraints
from tests.trust.forge import sha256

LARK = b'start: "yes" | "no"\n'


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("report.json", "report"),
        ("g/report.lark", "report"),
        ("report.v2.json", "report.v2"),
        ("report", None),
        ("report.gbnf", None),
        ("report.JSON", None),
        (".json", None),
        ("a b.lark", None),
        ("-a.lark", None),
        ("x" * 64 + ".lark", "x" * 64),
        ("x" * 65 + ".lark", None),
    ],
)
def test_names(file: str, name: str | None) -> None:
    assert grammar.name_of(file) == name
    if name is not None:
        assert constraints.ConstraintFields.model_validate({"guided_grammar": name}).constraint


def test_both_kinds_are_read() -> None:
    read = grammar.read("g/answer.lark", LARK)
    assert (read.name, read.file, read.kind) == ("answer", "g/answer.lark", "lark")
    assert (read.text, read.sha256) == (LARK.decode(), sha256(LARK))
    assert grammar.read("part.json", b'{"type":"object"}').kind == "json_schema"


def nested(levels: int) -> bytes:
    return b'{"items":' * levels + b"{}" + b"}" * levels


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("a.json", b"["),
        ("a.json", b"[]"),
        ("a.json", b"true"),
        ("a.json", b'{"type":"object","type":"array"}'),
        ("a.json", b'{"maximum":1e999}'),
        ("a.json", b"\xff"),
        ("a.json", nested(grammar.MAX_DEPTH)),
        ("a.json", nested(60_000)),
        ("a.json", json.dumps({"title": "x" * grammar.MAX_BYTES}).encode()),
        ("a.lark", b"\xff"),
        ("a.lark", b"//" + b"x" * grammar.MAX_BYTES),
    ],
)
def test_what_is_no_grammar_is_refused(file: str, data: bytes) -> None:
    with pytest.raises(SignatureRefused) as caught:
        grammar.read(file, data)
    assert caught.value.code == "grammar_invalid" and "a." in caught.value.message


def test_a_schema_may_be_as_deep_and_as_large_as_that_of_a_request() -> None:
    assert (grammar.MAX_BYTES, grammar.MAX_DEPTH) == (schemas.MAX_BYTES, schemas.MAX_DEPTH)
    grammar.read("a.json", nested(grammar.MAX_DEPTH - 2))


@given(st.binary(max_size=200), st.sampled_from(["a.json", "a.lark"]))
def test_any_bytes_are_read_or_refused(data: bytes, file: str) -> None:
    try:
        grammar.read(file, data)
    except SignatureRefused as error:
        assert error.code == "grammar_invalid"
