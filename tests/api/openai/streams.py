"""What the tests of answers share: streams as lists of events, and the usage of the fake answer."""

import json
from typing import Any

from tests.api.conftest import Lan

USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 3,
    "total_tokens": 10,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 0},
}


def events(body: str) -> list[Any]:
    """The `data:` lines of a stream, decoded; comments and `[DONE]` as they are."""
    found: list[Any] = []
    for block in body.split("\n\n")[:-1]:
        payload = block.removeprefix("data: ")
        found.append(json.loads(payload) if payload.startswith("{") else payload)
    return found


async def stream(lan: Lan, path: str, body: dict[str, Any]) -> tuple[Any, list[Any]]:
    reply = await lan.client.post(path, json={**body, "stream": True})
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.text.endswith("\n\n")
    return reply, events(reply.text)
