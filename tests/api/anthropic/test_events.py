"""The typed events of a message in their order, and the document that they add up to."""

import json
from typing import Any

import pytest

from appliance.engine.text.reply import ReplyForm
from appliance.types import Citation, CitedFrom, Delta, TaskAnswer
from tests.api.conftest import Lan
from tests.api.fake import CARD, TEXT, worker_lost

ROUTE = "/v1/messages"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"name": "weather", "input_schema": CITY}
FORM = ReplyForm("hermes", frozenset({"weather"}), thinking="tags")
ANSWER = (
    '<think>Hm.</think>I look.\n<tool_call>{"name": "weather", '
    '"arguments": {"city": "Oslo"}}</tool_call>'
)


def body(**fields: Any) -> dict[str, Any]:
    return {
        "model": CARD.id, "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}],
        **fields,
    }  # fmt: skip


async def events(lan: Lan, **fields: Any) -> list[dict[str, Any]]:
    reply = await lan.client.post(ROUTE, json=body(stream=True, **fields))
    found = []
    for block in reply.text.split("\n\n"):
        if block.startswith("event: "):
            kind, data = block.split("\n")
            event = json.loads(data[6:])
            assert kind == f"event: {event['type']}"
            found.append(event)
    return found


def added_up(found: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = found[0]["message"]
    for event in found[1:]:
        if event["type"] == "content_block_start":
            assert event["index"] == len(message["content"])
            message["content"].append({**event["content_block"], "json": ""})
        elif event["type"] == "content_block_delta":
            block, delta = message["content"][event["index"]], event["delta"]
            if delta["type"] == "input_json_delta":
                block["json"] += delta["partial_json"]
            elif delta["type"] == "citations_delta":
                block.setdefault("citations", []).append(delta["citation"])
            else:
                field = delta["type"].removesuffix("_delta")
                block[field] += delta[field]
        elif event["type"] == "content_block_stop":
            block = message["content"][event["index"]]
            if spelled := block.pop("json"):
                block["input"] = json.loads(spelled)
        elif event["type"] == "message_delta":
            message |= {**event["delta"], "usage": event["usage"]}
    return message


def without_id(message: dict[str, Any]) -> str:
    own = message["id"].removeprefix("msg_")
    return json.dumps({**message, "id": ""}).replace(own[:24], "")


async def test_the_events_of_a_text(lan: Lan) -> None:
    found = await events(lan)
    kinds = [event["type"] for event in found]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    message = added_up(found)
    assert message["content"] == [{"type": "text", "text": TEXT}]
    assert message["usage"] == {
        "input_tokens": 4, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3,
        "output_tokens": 3,
    }  # fmt: skip


async def test_reasoning_text_and_call_are_blocks_and_the_document_is_their_sum(lan: Lan) -> None:
    lan.inference.form = FORM
    lan.inference.script = (*(Delta(c, 1) for c in ANSWER), Delta("", 0, "stop"))
    document = (await lan.client.post(ROUTE, json=body(tools=[WEATHER]))).json()
    thought, text, call = document["content"]
    assert (thought["type"], thought["thinking"]) == ("thinking", "Hm.")
    assert (text["type"], text["text"]) == ("text", "I look.")
    assert (call["type"], call["name"], call["input"]) == ("tool_use", "weather", {"city": "Oslo"})
    assert call["id"].startswith("toolu_") and document["stop_reason"] == "tool_use"
    found = added_up(await events(lan, tools=[WEATHER]))
    document["usage"]["output_tokens"] = found["usage"]["output_tokens"]
    assert without_id(found) == without_id(document)


async def test_a_call_that_was_cut_off_has_what_there_is_of_its_arguments(lan: Lan) -> None:
    lan.inference.form = ReplyForm("hermes", frozenset({"weather"}), forced=True)
    cut = ANSWER.partition("I look.\n")[2].partition("lo")[0]
    lan.inference.script = (Delta(cut, 9), Delta("", 0, "length"))
    document = (await lan.client.post(ROUTE, json=body(tools=[WEATHER]))).json()
    assert document["stop_reason"] == "max_tokens"
    assert document["content"][0]["input"] == {"city": "Os"}


async def test_an_answer_without_a_word_is_a_text_all_the_same(lan: Lan) -> None:
    lan.inference.script = (Delta("", 1, "stop"),)
    document = (await lan.client.post(ROUTE, json=body())).json()
    assert document["content"] == [{"type": "text", "text": ""}]


async def test_what_fails_later_is_the_event_error_and_nothing_follows(lan: Lan) -> None:
    lan.inference.script = (Delta("Hel", 1), worker_lost())
    found = await events(lan)
    assert found[-1]["type"] == "error" and found[-1]["error"]["type"] == "overloaded_error"
    assert found[-1]["error"]["details"]["error_code"] == "worker_lost"


async def test_the_receipt_of_the_outcome_comes_before_the_reason(lan: Lan) -> None:
    text = (await lan.client.post(ROUTE, json=body(stream=True))).text
    assert text.index(": receipt ") < text.index("event: message_delta")
    (generation,) = lan.inference.generations
    assert generation.outcome and f": receipt {generation.outcome.header()}\n" in text


@pytest.mark.parametrize("stream", [True, False])
async def test_a_task_tells_what_proves_its_answer(lan: Lan, stream: bool) -> None:
    citation = Citation(
        1, "ab12:100-115", "pump 7.pdf", "Pump", 3, 100, 115, "f" * 64, "e" * 64,
        "opens at 12 bar", 3, 24,
    )  # fmt: skip
    cited = CitedFrom("handbook", 7, 2, (citation,), 1, refused=False)
    about = TaskAnswer("asks", 1, "d" * 64, "smol", cited=cited)
    lan.inference.script = (Delta("It opens.", 3, "stop", about=about),)
    if stream:
        found = await events(lan)
        message, told = added_up(found), found[-2]["x_appliance"]
    else:
        message = (await lan.client.post(ROUTE, json=body())).json()
        told = message["x_appliance"]
    (one,) = message["content"][0]["citations"]
    assert (one["type"], one["cited_text"]) == ("search_result_location", "opens at 12 bar")
    assert one["source"] == "collection:handbook/pump%207.pdf#bytes=100-115"
    assert told["task"] == "asks" and told["citations"]
