"""Chat and completions, whole: what goes to the engine and what comes back."""

from typing import Any

from tests.api.conftest import Lan
from tests.api.fake import CARD, TEXT


async def test_a_chat_answer_has_every_field_of_the_contract(
    lan: Lan, chat_body: dict[str, Any]
) -> None:
    reply = await lan.client.post("/v1/chat/completions", json=chat_body)
    assert reply.status_code == 200
    request_id = reply.headers["x-request-id"]
    assert reply.json() == {
        "id": request_id.replace("req-", "chatcmpl-"),
        "object": "chat.completion",
        "created": 1_764_000_001,
        "model": CARD.id,
        "system_fingerprint": "fp_" + "ab" * 8,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": TEXT, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "total_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 3},
        },
    }
