"""Recorded answers of each kind of engine, and every way to be no answer."""

import asyncio
import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.text.reply import ParsedReply, ReplyForm, collected
from appliance.errors import UpstreamLost
from appliance.routing.upstreams.stream import SeenIds, StreamedAnswer, Wanted, _Lines

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


async def fed(answer: StreamedAnswer, data: bytes, step: int) -> str:
    text = ""
    for at in range(0, len(data), step):
        pieces, _ = await answer.feed(data[at : at + step])
        text += "".join(piece.text for piece in pieces)
    answer.last()
    return text


def read(
    data: bytes, *, size: int = 1 << 20, step: int = 7, seen: SeenIds | None = None
) -> StreamedAnswer:
    answer = StreamedAnswer(Wanted(size, 64, 20), seen)
    assert asyncio.run(fed(answer, data, step)) == "Hi!"
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


def told(token: str) -> bytes:
    return b'data: {"id": "a", "choices": [{"text": "a", "logprobs": {"content": [%s]}}]}\n\n' % (
        token.encode()
    )


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
        piece(choices=[{"index": 0, "text": "a", "finish_reason": []}]),
        piece(choices=[{"index": 0, "delta": {"content": ["a"]}}]),
        told('{"token": "a", "logprob": -1, "bytes": 3000000000}'),
        told('{"token": "a", "logprob": -1, "bytes": [256]}'),
        told('{"token": "a", "logprob": NaN}'),
        told('{"token": "a", "logprob": -Infinity}'),
        told('{"token": "a", "logprob": -1e999}'),
        told('{"token": "a", "logprob": -' + "9" * 400 + "}"),
        told('{"token": "\\ud800", "logprob": -1}'),
        told('{"token": "a", "logprob": 1}'),
        told(",".join(['{"token": "a", "logprob": -1}'] * 70_000)),
        piece().replace(b"Hi!", b"\\ud800"),
        piece(usage={"prompt_tokens": 1.5}),
        piece().replace(b"{", b'{"usage": {"prompt_tokens": %s}, ' % (b"9" * 400), 1),
        piece() + END + b"data: [DONE]\n\ndata: [DONE]\n\n",
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


LIES = [
    {"prompt_tokens": -1, "completion_tokens": 1},
    {"prompt_tokens": 9, "completion_tokens": 1},
    {"prompt_tokens": 105, "completion_tokens": 1},
    {"prompt_tokens": (1 << 31) - 1, "completion_tokens": 1},
    {"prompt_tokens": 20, "completion_tokens": 0},
    {"prompt_tokens": 20, "completion_tokens": 67},
    {"prompt_tokens": 20, "completion_tokens": 1 << 60},
]  # fmt: skip


@pytest.mark.parametrize("usage", LIES)
def test_counts_that_nobody_would_believe_are_ours(usage: dict[str, int]) -> None:
    answer = read(piece() + piece("", "stop", usage=usage))
    assert (answer.prompt_tokens, answer.tokens, answer.doubted) == (20, 1, True)


@pytest.mark.parametrize(("prompt", "tokens"), [(10, 1), (104, 66), (31, 2)])
def test_counts_that_are_like_ours_are_the_hosts(prompt: int, tokens: int) -> None:
    usage = {"prompt_tokens": prompt, "completion_tokens": tokens}
    answer = read(piece() + piece("", "stop", usage=usage))
    assert (answer.prompt_tokens, answer.tokens) == (prompt, min(tokens, 64))
    assert not answer.doubted and not read(piece() + END).doubted


def test_nothing_beyond_max_tokens_leaves() -> None:
    answer = StreamedAnswer(Wanted(8 << 20, 4, 20), None)
    assert asyncio.run(fed(answer, piece("x") * 4 + piece("y", "length"), 99)) == "xxxxy"
    assert answer.tokens == 4
    for data in (piece("x") * 5, piece("x" * 2000), piece("x", "stop") + piece("x" * 2000)):
        answer = StreamedAnswer(Wanted(8 << 20, 4, 20), None)
        with pytest.raises(UpstreamLost) as caught:
            asyncio.run(fed(answer, data + END, 99))
        assert caught.value.code == "upstream_invalid"


def test_a_line_is_looked_at_once() -> None:
    lines, line = _Lines(), b"data: " + b"x" * ((1 << 20) - 7)
    kept = lines.rest
    for at in range(len(line)):
        assert lines.take(line[at : at + 1]) == []
    assert lines.rest is kept and kept == line
    assert lines.take(b"\r\n\n\r\nnext") == [line]
    assert lines.rest is kept and kept == b"next"


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    answer = StreamedAnswer(Wanted(200, 8, 1), None)
    with contextlib.suppress(UpstreamLost):
        asyncio.run(fed(answer, b"data: " + data + b"\n\n", 1000))


def events(*choices: dict[str, Any], **more: Any) -> bytes:
    told = [{"id": "a", "choices": [{"index": 0, **choice}]} for choice in choices]
    told.append({"id": "a", "choices": [], **more})
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in told)


def called(*parts: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"delta": {"tool_calls": list(parts)}, "finish_reason": finish}


def fragment(arguments: str, name: str | None = None, index: int = 0) -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return {"index": index, "function": function}


async def all_of(answer: StreamedAnswer, data: bytes) -> list[tuple[int, str]]:
    pieces, _ = await answer.feed(data)
    answer.last()
    texts: dict[int, str] = {}
    for one in pieces:
        texts[one.index] = texts.get(one.index, "") + one.text
    return sorted(texts.items())


TOOLS = Wanted(1 << 20, 64, 20, names=frozenset({"f", "g"}), reasoning=True)


async def test_calls_are_written_as_our_own_models_write_them() -> None:
    """In parts as in vLLM; whole, each with the index 0, as in Ollama."""
    parts = events(
        {"delta": {"content": "Wait. "}},
        called(fragment("", "f")),
        called(fragment('{"x":')),
        called(fragment(" 1}"), fragment("{}", "g", 1)),
        called(finish="tool_calls"),
    )
    whole = events(
        {"delta": {"content": "Wait. "}},
        called(fragment('{"x": 1}', "f"), fragment("", "g")),
        {"delta": {}, "finish_reason": "stop"},
    )
    for data in (parts, whole):
        answer = StreamedAnswer(TOOLS, None)
        ((_, text),) = await all_of(answer, data)
        said = collected([*(reply := ParsedReply(READ)).push(text), *reply.finish()])
        assert (said.content, answer.finish) == ("Wait.", "stop")
        assert said.calls == [
            {"name": "f", "arguments": '{"x": 1}'}, {"name": "g", "arguments": "{}"},
        ]  # fmt: skip


READ = ReplyForm("hermes", frozenset({"f", "g"}), thinking="tags")


async def test_a_call_that_length_cut_off_is_text() -> None:
    data = events(called(fragment('{"x": ', "f")), called(finish="length"))
    ((_, text),) = await all_of(StreamedAnswer(TOOLS, None), data)
    said = collected([*(reply := ParsedReply(READ)).push(text), *reply.finish()])
    assert said.calls == [] and '"f"' in said.content


MUST = replace(TOOLS, must_call=True)
ONE = replace(TOOLS, calls=1)


@pytest.mark.parametrize(
    ("wanted", "data"),
    [
        (TOOLS, events(called(fragment("{}", "h"), finish="tool_calls"))),
        (TOOLS, events(called(fragment("{}"), finish="tool_calls"))),
        (TOOLS, events(called(fragment("[]", "f"), finish="tool_calls"))),
        (TOOLS, events(called(fragment('{"x": NaN}', "f"), finish="tool_calls"))),
        (TOOLS, events(called(fragment("{" * 9999, "f"), finish="tool_calls"))),
        (TOOLS, events(called(*[fragment("{}", "f")] * 65, finish="tool_calls"))),
        (TOOLS, events({"delta": {"content": "a"}}, {"delta": {"reasoning": "hm"}})),
        (replace(TOOLS, names=frozenset()), events(called(fragment("{}", "f"), finish="stop"))),
        (MUST, events({"delta": {"content": "No."}, "finish_reason": "stop"})),
        (ONE, events(called(*[fragment("{}", "f")] * 2, finish="tool_calls"))),
    ],
)
async def test_calls_that_were_not_asked_for(wanted: Wanted, data: bytes) -> None:
    with pytest.raises(UpstreamLost) as caught:
        await all_of(StreamedAnswer(wanted, None), data)
    assert caught.value.code == "upstream_invalid"


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
async def test_reasoning_stands_before_the_answer_or_is_left_out(name: str) -> None:
    data = events(
        {"delta": {name: "Hm, "}},
        {"delta": {name: "yes."}},
        {"delta": {"content": "Yes"}},
        {"delta": {"content": "!"}, "finish_reason": "stop"},
    )
    ((_, text),) = await all_of(StreamedAnswer(TOOLS, None), data)
    said = collected([*(reply := ParsedReply(READ)).push(text), *reply.finish()])
    assert (said.reasoning, said.content) == ("Hm, yes.", "Yes!")
    without = StreamedAnswer(replace(TOOLS, reasoning=False), None)
    assert await all_of(without, data) == [(0, "Yes!")]
    assert without.tokens == 4  # what is left out was computed, too


async def test_several_choices_end_each_for_itself() -> None:
    wanted = Wanted(1 << 20, 4, 20, choices=2)
    data = events(
        {"text": "a", "index": 1}, {"text": "b"}, {"text": "", "finish_reason": "stop", "index": 1},
        {"text": "c"}, {"text": "", "finish_reason": "length"},
        usage={"prompt_tokens": 20, "completion_tokens": 3,
               "prompt_tokens_details": {"cached_tokens": 16}},
    )  # fmt: skip
    answer = StreamedAnswer(wanted, None)
    assert await all_of(answer, data) == [(0, "bc"), (1, "a")]
    assert (answer.finish, answer.tokens, answer.cached_tokens) == ("length,stop", 3, 16)
    assert [(one.index, one.finish_reason, one.cached) for one in answer.last()] == [
        (0, "length", 16), (1, "stop", 16),
    ]  # fmt: skip
    for index in (2, -1):
        with pytest.raises(UpstreamLost):
            await all_of(StreamedAnswer(wanted, None), events({"text": "a", "index": index}))
    with pytest.raises(UpstreamLost) as caught:
        await all_of(StreamedAnswer(wanted, None), events({"text": "a", "finish_reason": "stop"}))
    assert caught.value.code == "upstream_incomplete"


async def test_no_more_is_cached_than_there_is() -> None:
    for cached, found in ((-1, 0), (1 << 60, 20), (None, 0), (7, 7)):
        usage = {"prompt_tokens": 20, "prompt_tokens_details": {"cached_tokens": cached}}
        answer = StreamedAnswer(TOOLS, None)
        await all_of(answer, events({"text": "a", "finish_reason": "stop"}, usage=usage))
        assert answer.cached_tokens == found
