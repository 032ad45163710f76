"""A JSON text, followed: strings and keys of whatever a writer of JSON writes, in any pieces."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.text.json_scanner import JsonText, repeating

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)  # fmt: skip


def followed(text: str, size: int = 1) -> JsonText:
    data, made = text.encode(), JsonText()
    for at in range(0, len(data), size):
        made.feed(data[at : at + size])
    return made


@given(VALUES, st.integers(1, 9), st.booleans())
def test_a_document_repeats_no_key_and_leaves_nothing_open(
    value: Any, size: int, ascii_only: bool
) -> None:
    text = followed(json.dumps(value, ensure_ascii=ascii_only), size)
    assert (text.quoted, text.repeated, text.keys) == (False, False, frozenset())


@given(st.dictionaries(st.text(max_size=3), VALUES, min_size=1, max_size=4), st.data())
def test_a_key_that_comes_again_is_seen_however_it_is_spelled(
    value: dict[str, Any], data: Any
) -> None:
    name = data.draw(st.sampled_from(sorted(value)))
    outer = data.draw(st.sampled_from(["", "[1,", '{"x":', '[{"x":[']))
    text = followed(outer + json.dumps(value)[:-1])
    assert text.keys == value.keys()
    spelled = data.draw(st.sampled_from([json.dumps(name), json.dumps(name, ensure_ascii=False)]))
    assert text.repeats([b",", spelled.encode()]) and not text.repeated
    assert not text.repeats([b",", json.dumps(name + "....").encode()])
    inner = f',"....":{{{spelled}:1}}'.encode()
    assert not text.repeats([inner])


@pytest.mark.parametrize(
    ("text", "near"),
    [('{"ab":1,"', True), ('{"ab":1,"a', True), ('{"ab":1,"b', False), ('{"ab":1,"\\u00', True),
     ('{"ab":"', False), ('{"', False), ('{"ab":1,"x":["a', False), ("", False)],
)  # fmt: skip
def test_where_a_key_may_become_one_that_is_there(text: str, near: bool) -> None:
    assert followed(text).begins_a_key is near


def test_the_tokens_that_would_repeat_a_key() -> None:
    pieces = [b'"', b'a"', b'b"', b'\\u0061"', b'a":{"', b'":', b"a"]
    text = followed('{"a":1,"b":2,"')
    assert repeating(text, range(len(pieces)), pieces) == [1, 2, 3, 4]
    text.feed(b"a")
    assert repeating(text, range(len(pieces)), pieces) == [0, 5]
