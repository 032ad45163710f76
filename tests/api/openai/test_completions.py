"""Completions: the document and the stream."""

from tests.api.conftest import Lan
from tests.api.fake import CARD, TEXT
from tests.api.openai.streams import USAGE, stream

TEXTS = "/v1/completions"


async def test_a_completion_has_every_field_of_the_contract(lan: Lan) -> None:
    reply = await lan.client.post(TEXTS, json={"model": CARD.id, "prompt": "Hi"})
    assert reply.json() == {
        "id": reply.headers["x-request-id"].replace("req-", "cmpl-"),
        "object": "text_completion",
        "created": 1_764_000_001,
        "model": CARD.id,
        "system_fingerprint": "fp_" + "ab" * 8,
        "choices": [{"index": 0, "text": TEXT, "logprobs": None, "finish_reason": "stop"}],
        "usage": USAGE,
    }


async def test_a_completion_stream_is_text_and_one_finish_reason(lan: Lan) -> None:
    _, found = await stream(lan, TEXTS, {"model": CARD.id, "prompt": "Hi"})
    choices = [c["choices"][0] for c in found[:-2]]
    assert {c["object"] for c in found[:-2]} == {"text_completion"}
    assert "".join(c["text"] for c in choices) == TEXT
    assert [c["finish_reason"] for c in choices] == [None, None, None, "stop"]
