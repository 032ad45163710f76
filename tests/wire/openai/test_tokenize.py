"""Bodies of the tokenizer's routes: a prompt or a conversation, and ids that can be."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from appliance.wire.openai.tokenize import DetokenizeRequest, TokenizeRequest
from tests.wire.bodies import USER, first_error

TOOL = {"type": "function", "function": {"name": "f"}}


def test_a_prompt_or_a_conversation_without_a_model() -> None:
    assert TokenizeRequest.model_validate({"prompt": ""}).prompt == ""
    chat = TokenizeRequest.model_validate(
        {"messages": [USER], "tools": [TOOL], "chat_template_kwargs": {"enable_thinking": False}}
    )
    assert chat.model is None and chat.thinking is False
    assert chat.offer is not None and chat.offer.forced == ()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "prompt"),
        ({"prompt": "a", "messages": [USER]}, "prompt"),
        ({"prompt": "a", "tools": [TOOL]}, "prompt"),
        ({"prompt": "a", "chat_template_kwargs": {}}, "prompt"),
    ],
)
def test_what_does_not_go_together(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TokenizeRequest.model_validate(fields)
    error = caught.value.errors()[0]
    assert (error["type"], error["ctx"]["field"]) == ("invalid_value", field)


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        (TokenizeRequest, {"prompt": "\ud800"}, "prompt"),
        (TokenizeRequest, {"prompt": ["a"]}, "prompt"),
        (TokenizeRequest, {"messages": []}, "messages"),
        (TokenizeRequest, {"prompt": "a", "model": ""}, "model"),
        (DetokenizeRequest, {}, "tokens"),
        (DetokenizeRequest, {"tokens": [-1]}, "tokens"),
        (DetokenizeRequest, {"tokens": [True]}, "tokens"),
        (DetokenizeRequest, {"tokens": [2**31]}, "tokens"),
    ],
)
def test_a_bad_value_names_its_field(kind: type[BaseModel], body: Any, field: str) -> None:
    assert first_error(kind, body)[1][0] == field


def test_a_template_of_the_client_is_refused_by_name() -> None:
    with pytest.raises(ValidationError) as caught:
        TokenizeRequest.model_validate({"messages": [USER], "chat_template": "{{ x }}"})
    error = caught.value.errors()[0]
    assert (error["type"], error["ctx"]["field"]) == ("unsupported_parameter", "chat_template")
