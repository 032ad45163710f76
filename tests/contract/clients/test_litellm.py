"""`litellm` with the prefix `openai/`: a chat, a stream, an error that is not retried."""

from typing import Any

import litellm
import pytest

TALK = [{"role": "user", "content": "Say hello."}]


def ask(server: Any, **fields: Any) -> Any:
    given = {"model": f"openai/{server.model}", "messages": TALK, "max_tokens": 8, **fields}
    return litellm.completion(api_base=server.base_url, api_key=server.api_key, **given)


def test_a_chat_whole_and_streamed(server: Any) -> None:
    whole = ask(server, temperature=0).choices[0].message.content
    assert whole
    chunks = list(ask(server, temperature=0, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole


def test_errors_are_known_by_their_kind(server: Any) -> None:
    with pytest.raises(litellm.NotFoundError):
        ask(server, model="openai/nothing")
    with pytest.raises(litellm.BadRequestError):
        ask(server, temperature=9)
