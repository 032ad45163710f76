"""Bodies of /v1/chat/completions: roles, parts of messages, alternatives."""

from typing import Any

import pytest

from appliance.wire.openai.chat import ChatRequest
from tests.wire.bodies import USER, chat, first_error, refused_field


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool"])
def test_the_five_roles(role: str) -> None:
    message = {"role": role, "content": "x", "name": "n", "tool_call_id": "t"}
    assert chat(messages=[message]).messages[0].role == role


@pytest.mark.parametrize(
    "message",
    [
        {"role": "function", "content": "x"}, {"role": "user"}, {"role": "user", "content": None},
        {"role": "user", "content": 5}, {"role": "user", "content": {"text": "x"}},
        {"role": "assistant", "content": None}, {"content": "x"}, "Hi", None,
        {"role": "user", "content": "\udfff"}, {"role": "user", "content": ["x"]},
        {"role": "user", "content": [{"type": "text"}]},
        {"role": "user", "content": [{"type": "text", "text": "\ud800"}]},
        {"role": "user", "content": [{"type": ["text"], "text": "x"}]},
    ],
)  # fmt: skip
def test_a_bad_message_is_refused_with_its_place(message: Any) -> None:
    assert refused_field(ChatRequest, messages=[USER, message])[:2] == ("messages", 1)


@pytest.mark.parametrize("messages", [[], None, "Hi", {"0": USER}])
def test_messages_must_be_a_list_with_something_in_it(messages: Any) -> None:
    assert refused_field(ChatRequest, messages=messages) == ("messages",)


def test_text_parts_become_lines() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert chat(messages=[{"role": "user", "content": parts}]).messages[0].content == "a\nb"


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", "video_url"])
def test_parts_that_are_not_text_are_unsupported(kind: str) -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": kind}]}
    body = {"model": "m", "messages": [message]}
    assert first_error(ChatRequest, body) == ("unsupported_parameter", ("messages", 0, "content"))


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "top_logprobs"])
def test_zero_tokens_and_alternatives_of_chat(field: str) -> None:
    if field == "top_logprobs":
        assert chat(logprobs=True, top_logprobs=0).alternatives == 0
        assert refused_field(ChatRequest, logprobs=True, top_logprobs=21) == ("top_logprobs",)
    else:
        assert refused_field(ChatRequest, **{field: 0}) == (field,)


@pytest.mark.parametrize("choice", ["any", 5, [], {"type": "function"}, {"type": "web_search"}])
def test_a_choice_that_is_none_names_its_field(choice: Any) -> None:
    assert refused_field(ChatRequest, tool_choice=choice) == ("tool_choice",)
