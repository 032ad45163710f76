"""Answers as engines of each kind send them, recorded, and every way to be no answer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import UpstreamLost
from appliance.routing.upstreams.stream import Answer, SeenIds, tokens_of

RECORDED = {
    "vllm chat": (
        b'data: {"id":"chatcmpl-9a","object":"chat.completion.chunk","created":1,"model":"smol",'
        b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,'
        b'"finish_reason":null}],"system_fingerprint":"vllm-0.32.0-ab"}\n\n'
        b'data: {"id":"chatcmpl-9a","choices":[{"index":0,"delta":{"content":"Hi"},'
        b'"finish_reason":null}]}\n\n'
        b'data: {"id":"chatcmpl-9a","choices":[{"index":0,"delta":{"content":"!"},'
        b'"finish_reason":"stop","stop_reason":null}]}\n\n'
        b'data: {"id":"chatcmpl-9a","choices":[],"usage":{"prompt_tokens":31,"total_tokens":33,'
        b'"completion_tokens":2}}\n\ndata: [DONE]\n\n'
    ),
    "llama-server completion": (
        b'data: {"choices":[{"text":"Hi","index":0,"logprobs":null,"finish_reason":null}],'
        b'"created":1,"model":"smol","system_fingerprint":"b0-unknown","object":'
        b'"text_completion","id":"cmpl-x"}\n\n'
        b'data: {"choices":[{"text":"!","index":0,"logprobs":null,"finish_reason":null}],'
        b'"id":"cmpl-x"}\n\n'
        b'data: {"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"length"}],'
        b'"id":"cmpl-x","usage":{"completion_tokens":2,"prompt_tokens":31,"total_tokens":33}}\n\n'
        b"data: [DONE]\n\n"
    ),
    "appliance chat": (
        b": receipt 13 ab 14\n\n"
        b'data: {"id":"req-1","choices":[{"index":0,"delta":{"content":"Hi"},'
        b'"finish_reason":null}]}\r\n\r\n'
        b'data: {"id":"req-1","choices":[{"index":0,"delta":{"content":"!"},'
        b'"finish_reason":null}]}\r\n\r\n'
        b'data: {"id":"req-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":31,"completion_tokens":2}}\r\n\r\ndata: [DONE]\r\n\r\n'
    ),
    "ollama chat": (
        b'data: {"id":"chatcmpl-417","object":"chat.completion.chunk","choices":[{"index":0,'
        b'"delta":{"role":"assistant","content":"Hi!"},"finish_reason":null}]}\n\n'
        b'data: {"id":"chatcmpl-417","choices":[{"index":0,"delta":{"role":"assistant",'
        b'"content":""},"finish_reason":"stop"}]}\n\n'
        b'data: {"id":"chatcmpl-417","choices":[],"usage":{"prompt_tokens":31,'
        b'"completion_tokens":2,"total_tokens":33}}\n\ndata: [DONE]\n\n'
    ),
}


def read(data: bytes, *, size: int = 1 << 20, step: int = 7, seen: SeenIds | None = None) -> Answer:
    answer = Answer(size, 64, seen)
    text = ""
    for at in range(0, len(data), step):
        pieces, _ = answer.feed(data[at : at + step])
        text += "".join(piece.text for piece in pieces)
    answer.last()
    assert text == "Hi!"
    return answer


def code_of(data: bytes, **more: Any) -> str:
    with pytest.raises(UpstreamLost) as caught:
        read(data, **more)
    return caught.value.code


@pytest.mark.parametrize("recorded", RECORDED)
@pytest.mark.parametrize("step", [1, 11, 10_000])
def test_recorded_answers(recorded: str, step: int) -> None:
    answer = read(RECORDED[recorded], step=step)
    assert (answer.prompt_tokens, answer.tokens) == (31, 2)
    assert answer.finish in ("stop", "length") and answer.ended


def piece(text: str = "Hi!", finish: str | None = None, **more: Any) -> bytes:
    event = {"id": "a", "choices": [{"index": 0, "text": text, "finish_reason": finish}], **more}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


END = piece("", "stop")


@pytest.mark.parametrize(
    "data",
    [
        b"<html>\n",
        b"data: \xff\n\n",
        b"data: [1]\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        piece(choices=None),
        piece(choices=[{}, {}]),
        piece(choices=[3]),
        piece(id=None),
        piece(id=""),
        piece(id="x" * 300),
        piece() + piece("", "stop", id="b"),
        piece() + END + piece(),
        piece() + END + b"data: [DONE]\n\n" + END,
        piece(choices=[{"index": 0, "text": 7}]),
        piece(choices=[{"index": 0, "delta": "x"}]),
        piece(choices=[{"index": 0, "delta": {"tool_calls": [{}]}}]),
        piece(choices=[{"index": 0, "text": "a", "logprobs": {"content": [{}]}}]),
        piece(choices=[{"index": 0, "text": "a", "logprobs": 3}]),
        b"data: " + b"x" * (2 << 20),
    ],
)  # fmt: skip
def test_what_is_no_answer(data: bytes) -> None:
    assert code_of(data, size=8 << 20, step=1 << 16) == "upstream_invalid"


def test_an_answer_that_does_not_end_well() -> None:
    assert code_of(piece()) == "upstream_incomplete"
    assert code_of(piece() + b"data: [DONE]\n\n") == "upstream_incomplete"
    assert code_of(piece() + piece("", "content_filter")) == "upstream_incomplete"
    assert code_of(piece() + b'data: {"error":{"message":"died"}}\n\n') == "upstream_incomplete"
    assert code_of(piece() + b"error: died\n\n") == "upstream_incomplete"
    assert code_of(piece() + END[:-9]) == "upstream_incomplete"


def test_the_bytes_in_all_are_bounded() -> None:
    assert code_of(piece() + END, size=40) == "upstream_invalid"


def test_an_id_of_an_earlier_answer() -> None:
    seen = SeenIds()
    read(piece() + END, seen=seen)
    assert code_of(piece() + END, seen=seen) == "upstream_invalid"
    for number in range(5000):
        seen.add(str(number))
    read(piece() + END, seen=seen)  # so long ago that it is forgotten


def test_claims_about_tokens_are_bounded() -> None:
    usage = {"prompt_tokens": -1, "completion_tokens": 1 << 60}
    answer = read(piece() + piece("", "stop", usage=usage))
    assert (answer.prompt_tokens, answer.tokens) == (0, 1)
    usage = {"prompt_tokens": True, "completion_tokens": 1 << 20}
    assert read(piece() + piece("", "stop", usage=usage)).tokens == 64


def test_log_probabilities_in_both_forms() -> None:
    old = {
        "tokens": ["a", "b"], "token_logprobs": [None, -1.0],
        "top_logprobs": [None, {"c": -2.0, "b": -1.0}],
    }  # fmt: skip
    first, second = tokens_of(old)
    assert (first.logprob, first.top, second.offset) == (None, (), 1)
    assert second.top == ((b"b", -1.0), (b"c", -2.0))
    new = {"content": [{"token": "?", "bytes": [195, 164], "logprob": -1, "top_logprobs": None}]}
    (only,) = tokens_of(new)
    assert (only.token, only.logprob) == ("ä".encode(), -1.0)


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    answer = Answer(200, 8, None)
    try:
        answer.feed(b"data: " + data + b"\n\n")
        answer.last()
    except UpstreamLost:
        pass
