"""Chats: the document and the stream; calls and reasoning: what is taken and answered."""

import json
from typing import Any

import pytest

from appliance.engine.text.reply import ReplyForm
from appliance.types import Delta
from tests.api.conftest import Lan
from tests.api.fake import CARD, TEXT
from tests.api.openai.streams import USAGE, stream

CHAT = "/v1/chat/completions"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
NOW = {"type": "function", "function": {"name": "now", "description": "The time"}}
TWO_CALLS = (
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
)
FORM = ReplyForm("hermes", frozenset({"weather", "now"}))


@pytest.fixture
def calling(lan: Lan) -> Lan:
    lan.inference.form = FORM
    lan.inference.script = (*(Delta(c, 1) for c in TWO_CALLS), Delta("", 0, "stop"))
    return lan


def body(**fields: Any) -> dict[str, Any]:
    user = {"role": "user", "content": "Hi"}
    return {"model": CARD.id, "messages": [user], "tools": [WEATHER, NOW], **fields}


async def deltas(lan: Lan, **fields: Any) -> tuple[list[dict[str, Any]], list[str]]:
    reply = await lan.client.post(CHAT, json=body(stream=True, **fields))
    assert reply.text.endswith("data: [DONE]\n\n"), reply.text
    events = [line[6:] for line in reply.text.splitlines() if line.startswith("data: {")]
    choices = [json.loads(event)["choices"][0] for event in events]
    reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    return [choice["delta"] for choice in choices], reasons


async def test_a_document_with_calls(calling: Lan) -> None:
    (choice,) = (await calling.client.post(CHAT, json=body())).json()["choices"]
    message = choice["message"]
    assert (choice["finish_reason"], message["content"]) == ("tool_calls", None)
    assert message["refusal"] is None
    functions = [call["function"] for call in message["tool_calls"]]
    assert [f["name"] for f in functions] == ["weather", "now"]
    assert [json.loads(f["arguments"]) for f in functions] == [{"city": "Oslo"}, {}]
    ids = [call["id"] for call in message["tool_calls"]]
    assert len(set(ids)) == 2 and all(0 < len(i) <= 40 for i in ids)
    assert {call["type"] for call in message["tool_calls"]} == {"function"}


async def test_streamed_calls_are_indexed_as_the_sdks_do(calling: Lan) -> None:
    found, reasons = await deltas(calling)
    assert reasons == ["tool_calls"]
    assert found[0] == {"role": "assistant", "content": "", "refusal": None}
    calls = [call for delta in found for call in delta.get("tool_calls", ())]
    assert [call["index"] for call in calls] == sorted(call["index"] for call in calls)
    for index, name, arguments in ((0, "weather", {"city": "Oslo"}), (1, "now", {})):
        first, *later = [call for call in calls if call["index"] == index]
        assert first["function"]["name"] == name and first["id"] and first["type"] == "function"
        assert all("id" not in c and "name" not in c["function"] for c in later)
        written = "".join(c["function"]["arguments"] for c in (first, *later))
        assert json.loads(written) == arguments


async def test_without_a_call_nothing_says_tool(lan: Lan) -> None:
    lan.inference.form = FORM
    (choice,) = (await lan.client.post(CHAT, json=body())).json()["choices"]
    assert "tool_calls" not in choice["message"] and choice["finish_reason"] == "stop"
    _, reasons = await deltas(lan)
    assert reasons == ["stop"]


async def test_a_call_that_was_cut_off_ends_with_length(lan: Lan) -> None:
    lan.inference.form = ReplyForm("json", frozenset({"weather"}), forced=True)
    lan.inference.script = (Delta('{"name": "weather", "parameters": {"ci', 9, "length"),)
    (choice,) = (await lan.client.post(CHAT, json=body())).json()["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"ci'


async def test_reasoning_stands_beside_the_content(lan: Lan) -> None:
    lan.inference.form = ReplyForm(thinking="tags")
    lan.inference.script = (
        Delta("<think>\nH", 1), Delta("m.\n</think>\n\nYes", 1), Delta(".", 1, "stop"),
    )  # fmt: skip
    (choice,) = (await lan.client.post(CHAT, json=body(tools=None))).json()["choices"]
    assert choice["message"]["reasoning_content"] == "Hm."
    assert choice["message"]["content"] == "Yes."
    found, _ = await deltas(lan, tools=None)
    assert "".join(d.get("reasoning_content", "") for d in found) == "Hm."
    assert "".join(d.get("content", "") for d in found) == "Yes."


@pytest.mark.parametrize(
    ("choice", "forced"),
    [
        ("auto", ()), (None, ()), ("required", ("weather", "now")),
        ({"type": "function", "function": {"name": "now"}}, ("now",)),
    ],
)  # fmt: skip
async def test_what_the_engine_is_told(lan: Lan, choice: Any, forced: tuple[str, ...]) -> None:
    fields = {"tool_choice": choice, "parallel_tool_calls": False}
    assert (await lan.client.post(CHAT, json=body(**fields))).status_code == 200
    tools = lan.inference.requests[-1][1].tools
    assert tools and tools.forced == forced and not tools.parallel
    assert tools.functions[0] == {"name": "weather", "description": "", "parameters": CITY}
    assert tools.functions[1]["parameters"]["additionalProperties"] is False


async def test_none_offers_nothing(lan: Lan) -> None:
    assert (await lan.client.post(CHAT, json=body(tool_choice="none"))).status_code == 200
    assert lan.inference.requests[-1][1].tools is None


@pytest.mark.parametrize(
    ("fields", "effort"),
    [({"reasoning_effort": "none"}, False), ({"reasoning_effort": "high"}, None),
     ({"chat_template_kwargs": {"enable_thinking": True}}, True)],
)  # fmt: skip
async def test_reasoning_can_be_turned_off(lan: Lan, fields: Any, effort: bool | None) -> None:
    assert (await lan.client.post(CHAT, json=body(**fields))).status_code == 200
    assert lan.inference.requests[-1][1].thinking is effort


CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
TURNS: list[dict[str, Any]] = [
    {"role": "user", "content": "Cold?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None, "audio": None},
    {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "minus 5"}]},
]


async def test_a_history_with_calls_arrives_as_templates_take_it(lan: Lan) -> None:
    assert (await lan.client.post(CHAT, json=body(messages=TURNS))).status_code == 200
    messages = lan.inference.requests[-1][1].messages
    spoken = {**CALL, "function": {"name": "weather", "arguments": {}}}
    assert messages == (
        {"role": "user", "content": "Cold?"},
        {"role": "assistant", "content": "", "tool_calls": [spoken]},
        {"role": "tool", "content": "minus 5", "tool_call_id": "c1"},
    )


def with_arguments(arguments: str) -> list[dict[str, Any]]:
    call = {**CALL, "function": {"name": "weather", "arguments": arguments}}
    return [TURNS[0], {"role": "assistant", "tool_calls": [call]}]


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "unsupported_parameter", "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "invalid_value", "tools[0].function"),
        ({"tools": [WEATHER, WEATHER]}, "invalid_value", "tools"),
        ({"tools": [WEATHER] * 129}, "invalid_value", "tools"),
        ({"tools": [], "tool_choice": "required"}, "invalid_value", "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "x"}}}, "invalid_value",
         "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
            {"type": "function", "function": {"name": "x"}}]}}}, "invalid_value", "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "none", "tools": []}}},
         "invalid_value", "tool_choice"),
        ({"functions": [{"name": "f"}]}, "unsupported_parameter", "functions"),
        ({"messages": with_arguments("[]")}, "invalid_value", "messages[1].tool_calls"),
        ({"messages": with_arguments("[" * 100_000)}, "invalid_value", "messages[1].tool_calls"),
        ({"messages": with_arguments("{" * 5000)}, "invalid_value", "messages[1].tool_calls"),
        ({"messages": [{"role": "assistant", "content": None}]}, "invalid_value",
         "messages[0].content"),
        ({"chat_template_kwargs": {"x": 1}}, "invalid_value", "chat_template_kwargs.x"),
    ],
)  # fmt: skip
async def test_what_is_refused(lan: Lan, fields: Any, code: str, param: str | None) -> None:
    reply = await lan.client.post(CHAT, json=body(**fields))
    error = reply.json()["error"]
    assert (error["code"], error["param"]) == (code, param), error
    assert reply.status_code in (400, 413)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "é", 'a"', None])
async def test_names_of_functions_are_plain(lan: Lan, name: Any) -> None:
    function = {"type": "function", "function": {"name": name}}
    reply = await lan.client.post(CHAT, json=body(tools=[function]))
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "tools[0].function.name")


async def test_a_chat_answer_has_every_field_of_the_contract(
    lan: Lan, chat_body: dict[str, Any]
) -> None:
    reply = await lan.client.post(CHAT, json=chat_body)
    assert reply.status_code == 200
    assert reply.json() == {
        "id": reply.headers["x-request-id"].replace("req-", "chatcmpl-"),
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
        "usage": USAGE,
    }


async def test_a_chat_stream_is_what_the_sdks_expect(lan: Lan, chat_body: dict[str, Any]) -> None:
    reply, found = await stream(lan, CHAT, chat_body)
    chunks = found[:-2]
    request_id = reply.headers["x-request-id"]
    assert {(c["id"], c["object"], c["created"], c["model"]) for c in chunks} == {
        (request_id.replace("req-", "chatcmpl-"), "chat.completion.chunk", 1_764_000_001, CARD.id)
    }
    choices = [c["choices"][0] for c in chunks]
    assert all(len(c["choices"]) == 1 and c["choices"][0]["index"] == 0 for c in chunks)
    assert choices[0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert "".join(c["delta"].get("content", "") for c in choices) == TEXT
    assert [c["finish_reason"] for c in choices if c["finish_reason"]] == ["stop"]
    assert choices[-1] == {"delta": {}, "index": 0, "logprobs": None, "finish_reason": "stop"}
    assert all("usage" not in c for c in chunks)


ONE_CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Os\\"lo"}}\n</tool_call>'
ANSWERS = [
    *((ONE_CALL[:cut], True, "length") for cut in range(0, len(ONE_CALL), 3)),
    (TWO_CALLS, False, "stop"), ("<think>Hm", False, "length"), ("", False, "length"),
    ("<think>Hm.</think>It is cold. <tool_call>{", False, "length"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "forced", "finish"), ANSWERS)
async def test_what_the_server_wrote_it_takes_back(
    lan: Lan, text: str, forced: bool, finish: str
) -> None:
    lan.inference.form = ReplyForm("hermes", FORM.names, forced=forced, thinking="tags")
    lan.inference.script = (Delta(text, 9, finish),)
    (choice,) = (await lan.client.post(CHAT, json=body())).json()["choices"]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "ok"}
        for call in choice["message"].get("tool_calls", ())
    ]
    again = [TURNS[0], choice["message"], *results, TURNS[0]]
    reply = await lan.client.post(CHAT, json=body(messages=again))
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize(("mode", "forced"), [("auto", ()), ("required", ("now",))])
async def test_of_the_allowed_functions_alone_the_engine_hears(
    lan: Lan, mode: str, forced: tuple[str, ...]
) -> None:
    some = {"mode": mode, "tools": [{"type": "function", "function": {"name": "now"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": some}
    assert (await lan.client.post(CHAT, json=body(tool_choice=choice))).status_code == 200
    tools = lan.inference.requests[-1][1].tools
    assert tools and [f["name"] for f in tools.functions] == ["now"]
    assert tools.forced == forced


async def test_functions_and_a_form_of_the_answer_reach_the_engine_together(lan: Lan) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "s", "schema": CITY}}
    assert (await lan.client.post(CHAT, json=body(response_format=form))).status_code == 200
    request = lan.inference.requests[-1][1]
    assert request.tools and request.constraint and request.constraint.kind == "json_schema"


EITHER = ReplyForm("hermes", FORM.names, forced=True, either=True)


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        (ONE_CALL, None, 1),
        (TWO_CALLS, None, 2),
        ('{"city":"<tool_call>"}', '{"city":"<tool_call>"}', 0),
        ('{"city":"Oslo"}', '{"city":"Oslo"}', 0),
        ("<tool", "<tool", 0),
    ],
)
async def test_the_beginning_tells_calls_from_an_answer_in_a_form(
    lan: Lan, text: str, content: str | None, calls: int
) -> None:
    lan.inference.form = EITHER
    lan.inference.script = (*(Delta(c, 1) for c in text), Delta("", 0, "stop"))
    (choice,) = (await lan.client.post(CHAT, json=body())).json()["choices"]
    assert choice["message"]["content"] == content
    assert len(choice["message"].get("tool_calls", ())) == calls
    found, reasons = await deltas(lan)
    assert reasons == ["tool_calls" if calls else "stop"]
    assert "".join(d.get("content", "") for d in found) == (content or "")


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "refusal": "I cannot."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot."}]},
    ],
)
async def test_a_refusal_in_a_history_is_what_the_assistant_said(lan: Lan, message: Any) -> None:
    turns = [TURNS[0], message, TURNS[0]]
    assert (await lan.client.post(CHAT, json=body(messages=turns))).status_code == 200
    said = (lan.inference.requests[-1][1].messages or ())[1]
    assert said == {"role": "assistant", "content": "I cannot."}
