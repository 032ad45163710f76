"""Items: a line's content, and refusals."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.datasets.items import MAX_INPUT, MAX_LINE, Item, answer_text, build, parse_line
from appliance.errors import DatasetRefused

GOOD: dict[str, Any] = {
    "id": "a",
    "group": "g",
    "input": {"text": "hose leaks"},
    "expected": "hose",
}


def code(value: Any) -> str:
    with pytest.raises(DatasetRefused) as refused:
        build(value, "line 1")
    return refused.value.code


def test_a_line_is_an_item_and_an_item_a_line() -> None:
    item = build(
        GOOD | {"time": "2026-11-27T10:30:00Z", "stratum": "A", "expected": {"b": 1, "a": None}},
        "x",
    )
    assert parse_line(item.line().strip(), "x") == item
    assert item.line() == build(json.loads(item.line()), "x").line()
    assert item.label == '{"a":null,"b":1}'
    assert len(item.digest) == 64


def test_the_documents_that_answer_an_item_are_part_of_it() -> None:
    item, bare = build(GOOD | {"relevant": {"manual.pdf": 2}}, "x"), build(GOOD, "x")
    assert parse_line(item.line().strip(), "x").relevant == {"manual.pdf": 2}
    assert bare.relevant is None and b"relevant" not in bare.line()
    assert item.digest != bare.digest and item.text == bare.text


def test_a_plain_text_is_one_field() -> None:
    assert build(GOOD | {"input": "hose leaks"}, "x").text == "hose leaks"
    assert build(GOOD | {"input": {"a": "x", "n": 3.0, "none": None}}, "x").text == "x\n3"
    assert build(GOOD | {"id": 7}, "x").id == "7"


def test_answers_as_texts() -> None:
    assert [answer_text(v) for v in ("a", 1, True, {"b": 1})] == ["a", "1", "true", '{"b":1}']


@pytest.mark.parametrize("group", [None, ""])
def test_an_item_without_a_group(group: Any) -> None:
    assert code(GOOD | {"group": group}) == "group_missing"
    assert code({k: v for k, v in GOOD.items() if k != "group"}) == "group_missing"


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"id": None},
        {"id": True},
        {"id": "x" * 300},
        {"id": "a\x1b[31m"},
        {"group": "a\nb"},
        {"group": 1.5},
        {"input": {}},
        {"input": None},
        {"input": {"text": ""}},
        {"input": {"text": ["a"]}},
        {"input": {"": "a"}},
        {"input": {f"f{n}": n for n in range(257)}},
        {"expected": ["a"]},
        {"time": "yesterday"},
        {"time": "2026-13-01"},
        {"time": 2026},
        {"stratum": ""},
        {"more": 1},
        {"relevant": {}},
        {"relevant": ["manual.pdf"]},
        {"relevant": {"manual.pdf": 0}},
        {"relevant": {"manual.pdf": 101}},
        {"relevant": {"manual.pdf": True}},
        {"relevant": {"": 1}},
        {"relevant": {"m" * 401: 1}},
        {"relevant": {f"{n}.pdf": 1 for n in range(1_001)}},
    ],
)
def test_what_is_no_item(change: dict[str, Any]) -> None:
    assert code(GOOD | change) == "item_invalid"


def test_ten_megabytes_of_input_are_refused() -> None:
    assert code(GOOD | {"input": {"text": "x" * 10_000_000}}) == "item_too_large"
    assert code(GOOD | {"expected": "x" * (MAX_INPUT + 1)}) == "item_too_large"
    with pytest.raises(DatasetRefused) as refused:
        parse_line(b"x" * (MAX_LINE + 1), "line 1")
    assert refused.value.code == "item_too_large"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"\xff\xfe{}", "dataset_encoding"),
        ('{"id": "é"}'.encode("latin-1"), "dataset_encoding"),
        (b"{", "dataset_malformed"),
        (b'{"id": 1, "id": 2}', "dataset_malformed"),
        (b'{"id": NaN}', "dataset_malformed"),
        (b"[" * 100 + b"]" * 100, "dataset_malformed"),
        (b'"text"', "item_invalid"),
    ],
)
def test_lines_that_are_refused(line: bytes, expected: str) -> None:
    with pytest.raises(DatasetRefused) as refused:
        parse_line(line, "line 1")
    assert refused.value.code == expected


@given(st.binary(max_size=200))
def test_any_bytes_are_an_item_or_a_refusal(data: bytes) -> None:
    try:
        assert isinstance(parse_line(data, "line 1"), Item)
    except DatasetRefused as refused:
        assert refused.code.startswith(("dataset_", "item_", "group_"))
