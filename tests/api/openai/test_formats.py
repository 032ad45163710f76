"""The bytes of a stream, whatever the text is."""

import json
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.openai.chat import ChatFormat
from appliance.api.openai.completions import CompletionFormat
from appliance.api.openai.formats import Format
from appliance.engine.text.reply import ReplyForm
from appliance.errors import BadRequest
from appliance.serving.generation import Generation
from appliance.types import Delta, Receipt
from appliance.wire.openai.chat import ChatRequest
from appliance.wire.openai.generation import StreamUsage
from tests.api.conftest import Lan
from tests.api.fake import CARD


class Counts:
    card = CARD
    created = 5
    form = ReplyForm()
    choices = 1
    prompt_tokens, completion_tokens, cached_tokens = 2, 3, 1
    about = None
    outcome = Receipt(9, b"\xab" * 32, 10)


def form(kind: type[Format], usage: StreamUsage = "none") -> Format:
    return kind(cast(Generation, Counts()), "req-1", usage)


@given(st.text(min_size=1))
@pytest.mark.parametrize("kind", [ChatFormat, CompletionFormat])
def test_any_text_is_one_event_and_comes_back_whole(kind: type[Format], text: str) -> None:
    event = form(kind).piece(Delta(text, 1))
    assert event.startswith(b"data: ") and event.endswith(b"\n\n")
    assert event.count(b"\n") == 2 and b"\r" not in event
    choice = json.loads(event.removeprefix(b"data: "))["choices"][0]
    assert (choice["delta"]["content"] if kind is ChatFormat else choice["text"]) == text


def test_the_receipt_of_the_outcome_is_a_comment_just_before_done() -> None:
    closing = form(ChatFormat).closing()
    assert closing == b": receipt 9 " + b"ab" * 32 + b" 10\n\ndata: [DONE]\n\n"


def test_usage_is_the_last_chunk() -> None:
    written = form(ChatFormat, "last")
    events = written.end(Delta("", 0, "stop")) + written.closing()
    end, usage, receipt, done, rest = events.split(b"\n\n")
    assert json.loads(end[6:])["usage"] is None
    assert json.loads(usage[6:])["usage"]["total_tokens"] == 5
    assert receipt.startswith(b":") and done == b"data: [DONE]" and rest == b""


def test_each_chunk_has_the_counts_so_far_where_that_is_wanted() -> None:
    piece = form(ChatFormat, "each").piece(Delta("a", 1))
    assert json.loads(piece[6:])["usage"]["total_tokens"] == 5
    assert json.loads(form(ChatFormat, "last").piece(Delta("a", 1))[6:])["usage"] is None


@pytest.mark.parametrize(
    ("options", "usage"),
    [
        (None, "none"),
        ({"continuous_usage_stats": True}, "none"),  # as vLLM has it
        ({"include_usage": True}, "last"),
        ({"include_usage": True, "continuous_usage_stats": True}, "each"),
    ],
)
def test_the_chunks_that_have_counts(options: dict[str, bool] | None, usage: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "A"}], "stream_options": options}
    assert ChatRequest.model_validate(body).stream_usage == usage


def test_an_error_event_holds_the_error_object() -> None:
    event = form(ChatFormat).failing(BadRequest("invalid_value", 'line\n"quote"'))
    assert event.count(b"\n") == 2
    assert json.loads(event[6:])["error"]["message"] == 'line\n"quote"'


@pytest.mark.parametrize("stream", [True, False])
async def test_tokens_of_reasoning_are_told(lan: Lan, stream: bool) -> None:
    lan.inference.form = ReplyForm(thinking="open")
    pieces = ("Hm", ".", "</think>", "\n", "It", " opens.")
    lan.inference.script = (*(Delta(text, 1) for text in pieces), Delta("", 1, "stop"))
    body = {"model": CARD.id, "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    reply = await lan.client.post(
        "/v1/chat/completions", json={**body, "stream_options": {"include_usage": True}}
    )
    text = reply.text.split("\n\n")[-4][6:] if stream else reply.text
    usage = json.loads(text)["usage"]
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 4}
