"""Values that ask for nothing, and those that only look so."""

from typing import Any

import pytest
from pydantic import ValidationError

from appliance.wire.openai.chat import ChatRequest
from appliance.wire.openai.fields import REFUSED

USER = {"role": "user", "content": "Hi"}
HARMLESS: dict[str, Any] = {
    "n": 1, "best_of": 1, "use_beam_search": False, "tools": [], "functions": [],
    "function_call": "none", "tool_choice": "auto",
    "grammar": "", "logprobs": False, "top_logprobs": 0, "logit_bias": {}, "presence_penalty": 0,
    "frequency_penalty": 0.0, "repetition_penalty": 1.0, "repeat_penalty": 1,
    "stop_token_ids": [], "echo": False, "suffix": "", "modalities": ["text"],
    "chat_template_kwargs": {}, "add_generation_prompt": True, "continue_final_message": False,
}  # fmt: skip


def chat(**fields: Any) -> ChatRequest:
    return ChatRequest.model_validate({"model": "m", "messages": [USER], **fields})


@pytest.mark.parametrize("field", sorted(HARMLESS))
def test_the_default_asks_for_nothing(field: str) -> None:
    assert chat(**{field: HARMLESS[field]}).model == "m"


@pytest.mark.parametrize(
    ("field", "value"),
    [("use_beam_search", 0), ("best_of", True), ("best_of", "1"), ("echo", 0), ("functions", {})],
)
def test_a_look_alike_of_a_default_is_not_harmless(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        chat(**{field: value})
    assert caught.value.errors()[0]["type"] == "unsupported_parameter"


def test_tools_that_may_not_be_called_are_not_offered() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert chat(tools=tools, tool_choice="none").offer is None
    assert chat(tools=tools).offer is not None


@pytest.mark.parametrize("field", sorted(REFUSED["message"]))
def test_message_fields_that_would_be_lost_are_refused(field: str) -> None:
    message = {"role": "assistant", "content": None, field: [{"id": "1"}]}
    with pytest.raises(ValidationError) as caught:
        chat(messages=[USER, message])
    error = caught.value.errors()[0]
    assert (error["type"], error["loc"]) == ("unsupported_parameter", ("messages", 1))
    assert error["ctx"]["field"] == field


def test_other_unknown_fields_are_ignored() -> None:
    assert chat(user="u", store=True, reasoning_effort="low", anything={"x": 1}).model == "m"
