"""Bodies of /v1/responses: accepted, refused, and which field is named."""

from typing import Any

import pytest
from pydantic import ValidationError

from appliance.types import Constraint
from appliance.wire.openai.responses_request import ResponsesRequest

CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "name": "weather", "parameters": CITY}


def parse(**fields: Any) -> ResponsesRequest:
    return ResponsesRequest.model_validate({"model": "m", "input": "Hi", **fields})


def refused(**fields: Any) -> tuple[str, str]:
    """Of the first refusal."""
    with pytest.raises(ValidationError) as caught:
        parse(**fields)
    error = caught.value.errors()[0]
    place = [*error["loc"], error.get("ctx", {}).get("field", "")]
    return error["type"], ".".join(str(part) for part in place if part != "")


@pytest.mark.parametrize(
    ("field", "value"),
    [

        ("prompt", {"id": "p"}), ("include", ["message.output_text.logprobs"]),
        ("truncation", "auto"), ("max_tool_calls", 1), ("top_logprobs", 1),
    ],
)  # fmt: skip
def test_what_would_need_a_store_or_is_not_done_is_refused_by_name(field: str, value: Any) -> None:
    assert refused(**{field: value}) == ("unsupported_parameter", field)


def test_a_background_response_is_kept_and_not_streamed() -> None:
    assert parse(background=True).background
    assert refused(background=True, stream=True) == ("unsupported_parameter", "stream")
    assert refused(background=True, store=False) == ("invalid_value", "store")


def test_defaults_that_sdks_send_are_taken() -> None:
    body = parse(
        previous_response_id=None, background=False, include=[], truncation="disabled",
        max_tool_calls=None, top_logprobs=0, store=True, metadata={"a": "b"}, user="u",
    )  # fmt: skip
    assert body.store is True and body.metadata == {"a": "b"}


@pytest.mark.parametrize(
    "item",
    [
        {"role": "user"}, {"content": "x"}, {"role": "tool", "content": "x"}, "Hi",
        {"type": "function_call", "call_id": "c", "name": "f"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "["},
        {"type": "function_call_output", "output": "x"},
        {"role": "user", "content": [{"type": "input_text"}]},
        {"role": "user", "content": "\ud800"},
    ],
)  # fmt: skip
def test_an_item_that_lacks_something_is_refused(item: Any) -> None:
    with pytest.raises(ValidationError):
        parse(input=[item])


@pytest.mark.parametrize(
    "item",
    [
        {"type": "computer_call"},
        {"role": "user", "content": [{"type": "input_image"}]},
    ],
)
def test_items_and_parts_that_are_not_text_are_unsupported(item: Any) -> None:
    code, field = refused(input=[item])
    assert code == "unsupported_parameter" and field.startswith("input.0.")


def test_a_history_with_a_call_its_output_and_reasoning() -> None:
    body = parse(
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": t} for t in "ab"]},
            {"type": "reasoning", "summary": [{"whatever": 1}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"x": 1}'},
            {"type": "function_call_output", "call_id": "c", "output": "9"},
        ]
    )
    first, _, called, output = body.input
    assert (first.content, output.output) == ("a\nb", "9")
    assert called.call()["function"] == {"name": "f", "arguments": {"x": 1}}


def test_functions_and_what_must_be_called() -> None:
    offer = parse(tools=[WEATHER], tool_choice={"type": "function", "name": "weather"}).offer
    assert offer is not None and offer.forced == ("weather",)
    assert parse(tools=[WEATHER], tool_choice="none").offer is None
    assert refused(tools=[{"type": "web_search"}]) == ("unsupported_parameter", "tools.0.type")


@pytest.mark.parametrize(
    ("choice", "code", "field"),
    [
        ("any", "value_error", "tool_choice"),
        (5, "value_error", "tool_choice"),
        ({"type": "function"}, "value_error", "tool_choice"),
        ({"type": "web_search"}, "unsupported_parameter", "tool_choice.type"),
    ],
)
def test_a_choice_that_is_none_names_its_field(choice: Any, code: str, field: str) -> None:
    assert refused(tools=[WEATHER], tool_choice=choice) == (code, field)


def test_a_form_of_the_answer() -> None:
    assert parse().constraint is None
    assert parse(text={"format": {"type": "text"}}).constraint is None
    assert parse(text={"format": {"type": "json_object"}}).constraint == Constraint("json_object")
    form = {"type": "json_schema", "name": "n", "schema": CITY}
    constraint = parse(text={"format": form}).constraint
    assert constraint is not None and constraint.kind == "json_schema"


def test_a_form_without_its_schema_is_refused() -> None:
    assert refused(text={"format": {"type": "json_schema"}})[0] == "invalid_value"


def test_tools_and_a_form_of_the_answer_go_together() -> None:
    both = parse(text={"format": {"type": "json_object"}}, tools=[WEATHER])
    assert both.offer is not None and both.constraint == Constraint("json_object")
