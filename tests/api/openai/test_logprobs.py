"""Log-probabilities as OpenAI's clients read them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.openai.logprobs import chat_logprobs, completion_logprobs
from appliance.types import TokenLogprob
from appliance.wire.openai.chat import ChatLogprobs
from appliance.wire.openai.completions import CompletionLogprobs

HALF = TokenLogprob(b"\xe2\x80", -0.25, ((b"\xe2\x80", -0.25), (b"a", -2.0)), 0)
WORD = TokenLogprob(" né".encode(), -9.5, ((b"x", -0.1), (b"y", -3.0)), 1)
FIRST = TokenLogprob(b"<s>", None, (), 0)

values = st.floats(-9999, 0)
entries = st.lists(
    st.builds(
        TokenLogprob,
        st.binary(max_size=6),
        st.none() | values,
        st.lists(st.tuples(st.binary(max_size=6), values), max_size=4).map(tuple),
        st.integers(0, 1000),
    ),
    max_size=5,
)


def test_nothing_asked_for_is_null() -> None:
    assert chat_logprobs([]) is None and completion_logprobs([]) is None


def test_chat_names_tokens_by_text_and_bytes() -> None:
    found = chat_logprobs([HALF, WORD])
    assert found is not None
    half, word = found["content"]
    assert (half["token"], half["bytes"], half["logprob"]) == ("\ufffd", [0xE2, 0x80], -0.25)
    assert (word["token"], bytes(word["bytes"]).decode()) == (" né", " né")
    # The likeliest ones, and no more: the token itself need not be among them.
    assert [t["token"] for t in word["top_logprobs"]] == ["x", "y"]


def test_completions_run_side_by_side_and_hold_the_token_itself() -> None:
    assert completion_logprobs([FIRST, HALF, WORD]) == {
        "tokens": ["<s>", "bytes:\\xe2\\x80", " né"],
        "token_logprobs": [None, -0.25, -9.5],
        "top_logprobs": [
            None,
            {"bytes:\\xe2\\x80": -0.25, "a": -2.0},
            {"x": -0.1, "y": -3.0, " né": -9.5},
        ],
        "text_offset": [0, 0, 1],
    }


def test_of_two_tokens_with_one_name_the_likelier_is_told() -> None:
    entry = TokenLogprob(b"a", -5.0, ((b"a", -0.5), (b"b", -1.0)), 0)
    found = completion_logprobs([entry])
    assert found and found["top_logprobs"] == [{"a": -0.5, "b": -1.0}]


@given(entries)
def test_whatever_the_tokens_are_it_is_json_of_the_documented_shape(
    given_entries: list[TokenLogprob],
) -> None:
    def same(value: Any) -> Any:
        return json.loads(json.dumps(value, allow_nan=False))

    completion = completion_logprobs(given_entries)
    chat = chat_logprobs([e for e in given_entries if e.logprob is not None])
    assert same(completion) == completion and same(chat) == chat
    if completion:
        CompletionLogprobs.model_validate(completion)
    if chat:
        ChatLogprobs.model_validate(chat)


@pytest.mark.parametrize("write", [chat_logprobs, completion_logprobs])
def test_the_values_are_not_rounded(write: Any) -> None:
    assert "-0.1234567890123456" in json.dumps(
        write([TokenLogprob(b"a", -0.1234567890123456, (), 0)])
    )
