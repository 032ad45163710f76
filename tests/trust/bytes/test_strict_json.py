"""JSON with one meaning: refusals, and no other exception."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import PolicyRefused
from appliance.trust.bytes import strict_json


def refuse(problem: str) -> PolicyRefused:
    return PolicyRefused("policy_invalid", problem)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


BAD = {
    "not JSON": b"{",
    "empty": b"",
    "trailing": b"{} {}",
    "not UTF-8": b'"\xff"',
    "byte-order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "duplicate key": b'{"a":1,"a":1}',
    "duplicate key below": b'[{"b":{"a":1,"\\u0061":2}}]',
    "NaN": b"[NaN]",
    "Infinity": b"[-Infinity]",
    "overflow": b"[1e999]",
    "long integer": b"[" + b"1" * 5_000 + b"]",
    "integer beyond 64 bits": b"[18446744073709551616]",
    "deep": nested(strict_json.MAX_DEPTH + 1),
    "very deep": nested(100_000),
    "lone surrogate": b'["\\ud800"]',
    "lone surrogate as a key": b'{"\\ud800":1}',
    "too large": b" " * (strict_json.MAX_BYTES + 1),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_refused(data: bytes) -> None:
    with pytest.raises(PolicyRefused) as caught:
        strict_json.parse(data, refuse)
    assert caught.value.code == "policy_invalid"


def test_the_deepest_and_the_largest_are_read() -> None:
    assert strict_json.parse(nested(strict_json.MAX_DEPTH), refuse) is not None
    assert strict_json.parse(b" " * (strict_json.MAX_BYTES - 1) + b"1", refuse) == 1


_TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=12,
)


@given(_TREES)
def test_what_we_write_we_read(value: object) -> None:
    assert strict_json.parse(strict_json.dump(value), refuse) == value


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u0dNaIe19-. ').map(str.encode))
def test_noise_is_read_as_json_would_or_refused(data: bytes) -> None:
    try:
        value = strict_json.parse(data, refuse)
    except PolicyRefused:
        return
    assert value == json.loads(data)


def test_a_member_has_exactly_the_type_asked_for() -> None:
    table = {"a": True, "b": 1, "c": None}
    assert strict_json.member(table, "b", int, refuse) == 1
    for name, kind in (("a", int), ("b", bool), ("c", str), ("d", int)):
        with pytest.raises(PolicyRefused):
            strict_json.member(table, name, kind, refuse)
    with pytest.raises(PolicyRefused):
        strict_json.member(["b"], "b", int, refuse)


def test_an_optional_member_may_be_absent_but_not_wrong() -> None:
    assert strict_json.optional({}, "a", int, 7, refuse) == 7
    with pytest.raises(PolicyRefused):
        strict_json.optional({"a": None}, "a", int, 7, refuse)


@pytest.mark.parametrize("value", ["a", [1], ["a", "a"], [["a"]], None])
def test_a_list_of_strings_is_one(value: Any) -> None:
    assert strict_json.strings({"x": ["b", "a"]}, "x", refuse) == ("b", "a")
    assert strict_json.strings({}, "x", refuse) == ()
    with pytest.raises(PolicyRefused):
        strict_json.strings({"x": value}, "x", refuse)


def test_unknown_members_are_refused() -> None:
    strict_json.only({"a": 1}, {"a", "b"}, "it", refuse)
    with pytest.raises(PolicyRefused):
        strict_json.only({"a": 1, "c": 1}, {"a", "b"}, "it", refuse)
