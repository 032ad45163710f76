"""Bodies of /v1/messages: accepted, refused, and which field is named."""

from typing import Any

import pytest
from pydantic import ValidationError

from appliance.types import Constraint
from appliance.wire.anthropic.messages import CountRequest, MessagesRequest
from appliance.wire.openai.tools import MOST_ARGUMENTS

CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"name": "weather", "description": "How it is.", "input_schema": CITY}
HI = {"role": "user", "content": "Hi"}
LONG = {"a": "x" * MOST_ARGUMENTS}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "-3", "is_error": False}


def parse(**fields: Any) -> MessagesRequest:
    body = {"model": "m", "max_tokens": 9, "messages": [HI], **fields}
    return MessagesRequest.model_validate(body)


def refused(**fields: Any) -> tuple[str, str]:
    """Of the first refusal."""
    with pytest.raises(ValidationError) as caught:
        parse(**fields)
    error = caught.value.errors()[0]
    place = [*error["loc"], error.get("ctx", {}).get("field", "")]
    return error["type"], ".".join(str(part) for part in place if part != "")


def test_a_conversation_with_calls_is_what_templates_take() -> None:
    body = parse(
        system=[
            {"type": "text", "text": "Be", "cache_control": None},
            {"type": "text", "text": "brief."},
        ],
        messages=[
            HI,
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": ""},
                {"type": "text", "text": "I look."}, CALL,
            ]},
            {"role": "user", "content": [RESULT, {"type": "text", "text": "And now?"}]},
        ],
    )  # fmt: skip
    called = {"name": "weather", "arguments": {"city": "Oslo"}}
    assert body.spoken() == (
        {"role": "system", "content": "Be\nbrief."},
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant", "content": "I look.", "reasoning_content": "Hm.",
            "tool_calls": [{"id": "toolu_1", "type": "function", "function": called}],
        },
        {"role": "tool", "content": "-3", "tool_call_id": "toolu_1"},
        {"role": "user", "content": "And now?"},
    )  # fmt: skip


def test_a_message_of_a_call_or_of_results_alone() -> None:
    body = parse(messages=[
        {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT]},
    ])  # fmt: skip
    spoken = body.spoken()
    assert [one["role"] for one in spoken] == ["assistant", "tool"]
    assert spoken[0]["content"] == "" and spoken[0]["tool_calls"]


@pytest.mark.parametrize(
    ("choice", "forced", "several"),
    [
        (None, (), True), ({"type": "auto"}, (), True), ({"type": "any"}, ("weather",), False),
        ({"type": "tool", "name": "weather"}, ("weather",), False),
        ({"type": "auto", "disable_parallel_tool_use": True}, (), False),
    ],
)  # fmt: skip
def test_a_choice_of_tools(choice: Any, forced: tuple[str, ...], several: bool) -> None:
    offer = parse(tools=[WEATHER], tool_choice=choice).offer
    assert offer is not None and offer.functions[0]["parameters"] == CITY
    assert (offer.forced, offer.parallel) == (forced, several)


def test_no_tools_are_offered_where_none_may_be_called() -> None:
    assert parse(tools=[WEATHER], tool_choice={"type": "none"}).offer is None
    assert parse().offer is None


@pytest.mark.parametrize(
    ("thinking", "wanted"),
    [
        (None, None), ({"type": "adaptive"}, None), ({"type": "disabled"}, False),
        ({"type": "enabled", "budget_tokens": 1024}, True),
    ],
)  # fmt: skip
def test_whether_the_model_reasons(thinking: Any, wanted: bool | None) -> None:
    assert parse(thinking=thinking).reasons is wanted


def test_a_form_of_the_answer() -> None:
    asked = {"format": {"type": "json_schema", "schema": {"type": "object"}}, "effort": "low"}
    assert parse(output_config=asked).constraint == Constraint("json_schema", '{"type":"object"}')
    assert parse(output_config={"effort": "low"}).constraint is None


BLOCKS: list[tuple[Any, str]] = [
    ({"type": "image", "source": {}}, "type"), ({"type": "document"}, "type"),
    ({"type": "server_tool_use"}, "type"), ({"type": "search_result"}, "type"),
]  # fmt: skip


@pytest.mark.parametrize(("block", "field"), BLOCKS)
def test_a_block_that_is_no_text_is_refused_by_its_type(block: Any, field: str) -> None:
    messages = [{"role": "user", "content": [block]}]
    assert refused(messages=messages) == (
        "unsupported_parameter", f"messages.0.content.0.{field}"
    )  # fmt: skip


def test_results_have_text_alone() -> None:
    result = {**RESULT, "content": [{"type": "image", "source": {}}]}
    code, place = refused(messages=[{"role": "user", "content": [result]}])
    assert (code, place) == ("unsupported_parameter", "messages.0.content.0.content.0.type")


@pytest.mark.parametrize(
    ("fields", "code", "place"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "w"}]}, "unsupported_parameter",
         "tools.0.type"),
        ({"messages": [HI, {"role": "assistant", "content": "The"}]}, "unsupported_parameter",
         "messages"),
        ({"messages": [{"role": "user", "content": [CALL]}]}, "invalid_value",
         "messages.0.content[0].type"),
        ({"messages": [{"role": "assistant", "content": [RESULT]}, HI]}, "invalid_value",
         "messages.0.content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "invalid_value",
         "messages.0.content.0.text"),
        ({"tool_choice": {"type": "tool"}, "tools": [WEATHER]}, "invalid_value",
         "tool_choice.name"),
        ({"tool_choice": {"type": "tool", "name": "x"}, "tools": [WEATHER]}, "invalid_value",
         "tool_choice"),
        ({"tool_choice": {"type": "any"}}, "invalid_value", "tool_choice"),
        ({"stop": "x"}, "unsupported_parameter", "stop"),
        ({"maxTokens": 3}, "unsupported_parameter", "maxTokens"),
        ({"mcp_servers": [{}]}, "unsupported_parameter", "mcp_servers"),
        ({"system": [{"type": "image"}]}, "unsupported_parameter", "system.0.type"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused(fields: Any, code: str, place: str) -> None:
    assert refused(**fields) == (code, place)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 0}, {"max_tokens": "9"}, {"messages": []}, {"temperature": 3},
        {"messages": [{"role": "user", "content": "a\ud800"}]},
        {"messages": [{"role": "assistant", "content": [{**CALL, "input": {"a": "\ud800"}}]}, HI]},
        {"messages": [{"role": "assistant", "content": [{**CALL, "input": LONG}]}, HI]},
        {"stop_sequences": ["x"] * 17}, {"stop_sequences": [""]}, {"top_p": float("nan")},
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(fields: Any) -> None:
    with pytest.raises(ValidationError):
        parse(**fields)


def test_to_count_no_most_is_needed() -> None:
    body = CountRequest.model_validate({"model": "m", "messages": [HI], "system": "Be brief."})
    assert [one["role"] for one in body.spoken()] == ["system", "user"]
