"""The responses route: stateless requests, and the typed events in their order."""

import json
from typing import Any, cast

import httpx
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from appliance.api.app import create_lan_app
from appliance.engine.protocol import Tokens
from appliance.engine.text.reply import ReplyForm
from appliance.serving.tokenization import Tokenizers
from appliance.types import Delta, GenerationRequest, Principal, TaskAnswer
from tests.api.conftest import Lan
from tests.api.fake import CARD, TEXT, worker_lost
from tests.parts import having

ROUTE = "/v1/responses"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "name": "weather", "parameters": CITY}
FORM = ReplyForm("hermes", frozenset({"weather"}), thinking="tags")
ANSWER = (
    '<think>Hm.</think>I look.\n<tool_call>{"name": "weather", '
    '"arguments": {"city": "Oslo"}}</tool_call>'
)
EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


def body(**fields: Any) -> dict[str, Any]:
    return {"model": CARD.id, "input": "Hi", **fields}


async def events(lan: Lan, **fields: Any) -> list[dict[str, Any]]:
    reply = await lan.client.post(ROUTE, json=body(stream=True, **fields))
    found = []
    for block in reply.text.split("\n\n"):
        if block.startswith("event: "):
            kind, data = block.split("\n")
            event = json.loads(data[6:])
            assert kind == f"event: {event['type']}"
            EVENT.validate_python(event)
            found.append(event)
    assert [e["sequence_number"] for e in found] == list(range(len(found)))
    return found


async def test_a_text_as_a_document_and_as_events(lan: Lan) -> None:
    document = Response.model_validate((await lan.client.post(ROUTE, json=body())).json())
    assert (document.output_text, document.status) == (TEXT, "completed")
    assert document.usage and document.usage.total_tokens == 10
    found = await events(lan)
    kinds = [event["type"].removeprefix("response.") for event in found]
    assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert kinds[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert "".join(e["delta"] for e in found if e["type"].endswith("text.delta")) == TEXT
    assert Response.model_validate(found[-1]["response"]).output_text == TEXT


async def test_reasoning_text_and_call_are_items_of_their_own(lan: Lan) -> None:
    lan.inference.form = FORM
    lan.inference.script = (*(Delta(c, 1) for c in ANSWER), Delta("", 0, "stop"))
    document = (await lan.client.post(ROUTE, json=body(tools=[WEATHER]))).json()
    assert [item["type"] for item in document["output"]] == [
        "reasoning",
        "message",
        "function_call",
    ]
    assert json.loads(document["output"][2]["arguments"]) == {"city": "Oslo"}
    found = await events(lan, tools=[WEATHER])
    added = [e["output_index"] for e in found if e["type"] == "response.output_item.added"]
    assert added == [0, 1, 2]
    output = found[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "message", "function_call"]
    assert output[0]["content"][0]["text"] == "Hm." and output[1]["content"][0]["text"] == "I look."


async def test_a_text_that_was_cut_off_is_incomplete(lan: Lan) -> None:
    lan.inference.script = (Delta("Hel", 1, "length"),)
    document = (await lan.client.post(ROUTE, json=body())).json()
    assert document["incomplete_details"] == {"reason": "max_output_tokens"}
    assert (await events(lan))[-1]["type"] == "response.incomplete"


async def test_a_failure_in_mid_stream_fails_the_response_and_is_raised(lan: Lan) -> None:
    lan.inference.script = (Delta("Hel", 1), worker_lost())
    reply = await lan.client.post(ROUTE, json=body(stream=True))
    last = json.loads(reply.text.strip().split("\n\n")[-1].removeprefix("data: "))
    assert last["error"]["code"] == "worker_lost" and "response.completed" not in reply.text
    failed = (await events(lan))[-1]
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    response = Response.model_validate(failed["response"])
    assert response.error and response.error.message == last["error"]["message"]
    assert response.output_text == "Hel"


async def test_a_history_arrives_as_messages(lan: Lan) -> None:
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Cold?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "c", "name": "weather",
         "arguments": '{"city": "Oslo"}'},
        {"type": "function_call_output", "call_id": "c", "output": "minus 5"},
    ]  # fmt: skip
    reply = await lan.client.post(ROUTE, json=body(input=items, instructions="Be kind."))
    assert reply.status_code == 200
    function = {"name": "weather", "arguments": {"city": "Oslo"}}
    assert lan.inference.requests[-1][1].messages == (
        {"role": "system", "content": "Be kind."},
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Cold?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "minus 5", "tool_call_id": "c"},
    )


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"truncation": "auto"}, "unsupported_parameter", "truncation"),
        ({"tools": [{"type": "web_search", "name": "x"}]}, "unsupported_parameter",
         "tools[0].type"),
        ({"input": ""}, "invalid_value", "input"), ({"input": []}, "invalid_value", "input"),
        ({"input": 5}, "invalid_value", "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
         "unsupported_parameter", "input[0].content"),
        ({"tool_choice": "any"}, "invalid_value", "tool_choice"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "invalid_value",
         "text.format.schema"),
    ],
)  # fmt: skip
async def test_what_is_refused(lan: Lan, fields: Any, code: str, param: str) -> None:
    reply = await lan.client.post(ROUTE, json=body(**fields))
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (400, code), error
    assert error["param"] == param, error


@pytest.mark.parametrize("cut", range(0, len(ANSWER), 4))
@pytest.mark.parametrize("forced", [False, True])
async def test_what_the_server_wrote_it_takes_back(lan: Lan, cut: int, forced: bool) -> None:
    begin = ANSWER.index("<tool_call>") if forced else 0
    lan.inference.form = ReplyForm("hermes", FORM.names, forced=forced, thinking=FORM.thinking)
    lan.inference.script = (Delta(ANSWER[begin : begin + cut], 9, "length"),)
    output = (await lan.client.post(ROUTE, json=body(tools=[WEATHER]))).json()["output"]
    user = {"role": "user", "content": "Hi"}
    reply = await lan.client.post(ROUTE, json=body(input=[user, *output, user]))
    assert reply.status_code == 200, reply.text


async def test_of_the_allowed_functions_alone_the_engine_hears(lan: Lan) -> None:
    some = [{"type": "function", "name": "now"}]
    choice = {"type": "allowed_tools", "mode": "required", "tools": some}
    fields = {"tools": [WEATHER, {"type": "function", "name": "now"}], "tool_choice": choice}
    reply = await lan.client.post(ROUTE, json=body(**fields))
    assert Response.model_validate(reply.json()).tool_choice
    tools = lan.inference.requests[-1][1].tools
    assert tools and [f["name"] for f in tools.functions] == ["now"] == [*tools.forced]


async def test_a_history_has_refusals_and_references(lan: Lan) -> None:
    refusal = [{"type": "refusal", "refusal": "I cannot."}]
    items = [
        {"role": "user", "content": "Hi"},
        {"type": "reasoning", "id": "rs_2", "summary": []},
        {"type": "message", "id": "msg_1", "role": "assistant", "content": refusal},
        {"type": "item_reference", "id": "msg_1"}, {"type": "item_reference", "id": "rs_9"},
    ]  # fmt: skip
    assert (await lan.client.post(ROUTE, json=body(input=items))).status_code == 200
    messages = lan.inference.requests[-1][1].messages or ()
    assert [m["content"] for m in messages] == ["Hi", "I cannot."]


async def test_a_reference_to_what_is_not_kept_is_refused_by_name(lan: Lan) -> None:
    items = [{"role": "user", "content": "Hi"}, {"type": "item_reference", "id": "msg_1"}]
    reply = await lan.client.post(ROUTE, json=body(input=items))
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (400, "unsupported_parameter")
    assert error["param"] == "input[1].id" and "send the item itself" in error["message"]


async def test_a_tasks_answer_names_the_task_whole_and_in_the_last_event(lan: Lan) -> None:
    about = TaskAnswer("orders", 1, "ab" * 32, "smol", confidence=1.0, distribution=(("a", 1.0),))
    lan.inference.script = (Delta("a", 1, "stop", about=about),)
    whole = (await lan.client.post(ROUTE, json=body())).json()
    assert whole["x_appliance"] == about.document()
    found = await events(lan)
    assert found[-1]["type"] == "response.completed"
    assert found[-1]["response"]["x_appliance"] == about.document()
    assert not any("x_appliance" in event.get("response", {}) for event in found[:-1])


class _Tokenisers:
    async def tokens(self, _principal: Principal, request: GenerationRequest) -> Tokens:
        return Tokens(0, [1] * len(request.messages or ()))


async def test_the_tokens_of_an_input_are_counted_and_nothing_runs(lan: Lan) -> None:
    services = having(lan.services, tokenizers=cast(Tokenizers, _Tokenisers()))
    transport = httpx.ASGITransport(create_lan_app(services))
    headers = {"x-api-key": lan.secret}
    async with httpx.AsyncClient(transport=transport, base_url="http://l", headers=headers) as c:
        reply = await c.post(f"{ROUTE}/input_tokens", json=body(instructions="Be brief."))
    assert reply.json() == {"object": "response.input_tokens", "input_tokens": 2}
    assert not lan.inference.requests
