"""`llama-index-llms-openai-like`: a chat, a completion, a stream."""

from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike


def model(server: Any) -> OpenAILike:
    return OpenAILike(
        model=server.model,
        api_base=server.base_url,
        api_key=server.api_key,
        is_chat_model=True,
        context_window=512,
        max_tokens=8,
        temperature=0,
    )


def test_a_chat_whole_and_streamed(server: Any) -> None:
    talk = [ChatMessage(role="user", content="Say hello.")]
    whole = model(server).chat(talk)
    assert whole.message.content
    *_, last = model(server).stream_chat(talk)
    assert last.message.content == whole.message.content


def test_a_completion(server: Any) -> None:
    assert model(server).complete("Say hello.").text
