"""Each tool does what its route does, records it, and gives the receipt."""

import json
from dataclasses import replace
from typing import Any

import pytest

from appliance.errors import Queued
from appliance.types import Delta
from tests.api import fake
from tests.api.conftest import Lan
from tests.api.fake import CARD, worker_lost
from tests.api.openai.test_classify import ABOUT


async def call(lan: Lan, tool: str, secret: str = "", **arguments: object) -> dict[str, Any]:
    params = {"name": tool, "arguments": arguments}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    reply = await lan.client.post("/mcp", json=body, headers=headers)
    assert reply.status_code == 200
    result: dict[str, Any] = reply.json()["result"]
    if not result["isError"]:
        assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
    return result


def failed(result: dict[str, Any]) -> str:
    code: str = result["_meta"]["appliance/error"]["code"]
    assert result["isError"] and result["content"][0]["text"].startswith(f"{code}: ")
    return code


@pytest.fixture
def as_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "CARD", replace(CARD, form="labels"))


@pytest.mark.usefixtures("manuals")
async def test_a_search_finds_what_the_key_may_read_and_is_recorded(lan: Lan) -> None:
    asked: dict[str, Any] = {"collection": "manuals", "query": "pump", "limit": 3}
    found = (await call(lan, "search_collection", **asked))["structuredContent"]
    (passage,) = found["data"]
    assert (passage["document"], passage["sha256"] != "") == ("mine.txt", True)
    entry = lan.services.reader.entry(int(found["receipt"].split()[0]))
    assert (entry.kind, entry.body["request_id"]) == ("search", found["request_id"])
    http = (await lan.client.post("/v1/search", json=asked)).json()
    assert {**found, "nonce": ""}.items() >= {**http, "nonce": ""}.items()


@pytest.mark.usefixtures("manuals")
async def test_without_the_right_there_is_no_such_collection(lan: Lan) -> None:
    _, secret = lan.services.keys.create("another")
    for name in ("manuals", "nothing"):
        result = await call(lan, "search_collection", secret, collection=name, query="pump")
        assert failed(result) == "collection_not_found"


async def test_texts_are_classified_with_a_receipt_each(lan: Lan) -> None:
    lan.inference.script = (Delta("hose", 0, "stop", about=ABOUT),)
    found = (await call(lan, "classify", task=CARD.id, texts=["a", "b"]))["structuredContent"]
    assert [one["label"] for one in found["data"]] == ["hose", "hose"]
    assert found["x_appliance"]["labels"] == ["engine", "hose"]
    assert found["receipt"].count(", ") == 1
    assert [request.prompt for _, request in lan.inference.requests] == ["a", "b"]
    assert all(request.task.distribution for _, request in lan.inference.requests)


@pytest.mark.usefixtures("as_task")
async def test_a_task_answers_and_its_receipt_is_found_and_checked(lan: Lan) -> None:
    lan.inference.script = (Delta("hose", 0, "stop", about=ABOUT),)
    found = (await call(lan, "ask", task=CARD.id, text="hose leaks"))["structuredContent"]
    assert (found["answer"], found["finish_reason"]) == ("hose", "stop")
    assert found["x_appliance"]["task"] == "orders"
    ((caller, request),) = lan.inference.requests
    assert caller.route == "/mcp" and request.messages == (
        {"role": "user", "content": "hose leaks"},
    )
    kept = {"request_id": found["request_id"], "receipt": found["receipt"]}
    told = (await call(lan, "check_receipt", **kept))["structuredContent"]
    seq, leaf, _ = found["receipt"].split()
    assert told["outcome"] == {"seq": int(seq), "leaf": leaf}
    assert told["holds"] and told["matches"] and told["size"] > int(seq) and len(told["root"]) == 64
    forged = {**kept, "receipt": f"{seq} {'0' * 64} 9"}
    assert (await call(lan, "check_receipt", **forged))["structuredContent"]["matches"] is False
    _, secret = lan.services.keys.create("another")
    assert failed(await call(lan, "check_receipt", secret, **kept)) == "not_found"


async def test_a_model_is_no_task(lan: Lan) -> None:
    assert failed(await call(lan, "ask", task=CARD.id, text="x")) == "wrong_model_kind"
    assert not lan.inference.requests


@pytest.mark.usefixtures("as_task")
async def test_failures_are_told_in_the_result_and_counted_as_such(lan: Lan) -> None:
    key_id = lan.services.keys.authenticate(lan.secret).key_id
    asked = {"task": CARD.id, "text": "x"}
    assert failed(await call(lan, "ask", task="nothing", text="x")) == "model_not_found"
    for arguments in ({}, {"task": CARD.id}, {**asked, "more": 1}, {**asked, "text": ""}):
        assert failed(await call(lan, "ask", **arguments)) == "invalid_value"
    lan.inference.refusal = Queued("task_queued", "It waits.", item={"id": "wait-1"})
    result = await call(lan, "ask", **asked)
    assert failed(result) == "task_queued"
    assert result["_meta"]["appliance/error"]["item"] == "wait-1"
    lan.inference.refusal, lan.inference.script = None, (Delta("a", 1), worker_lost())
    result = await call(lan, "ask", **asked)
    assert (failed(result), result["_meta"]["appliance/error"]["retry_after"]) == ("worker_lost", 2)
    counted = lan.services.rejected.lately(["model_not_found", "invalid_value", "worker_lost"])
    assert counted[key_id] == {"model_not_found": 1, "invalid_value": 4}


@pytest.mark.usefixtures("as_task")
async def test_tools_offer_the_tasks_of_the_key(lan: Lan) -> None:
    key, secret = lan.services.keys.create("another", models=["else"])
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    offered = []
    for one in (lan.secret, secret):
        headers = {"authorization": f"Bearer {one}"}
        tools = (await lan.client.post("/mcp", json=body, headers=headers)).json()["result"][
            "tools"
        ]
        names = [tool["name"] for tool in tools]
        assert names == ["search_collection", "classify", "ask", "check_receipt"]
        offered.append([t["inputSchema"]["properties"].get("task", {}).get("enum") for t in tools])
    lan.services.keys.revoke(key.id)
    assert offered == [[None, [CARD.id], [CARD.id], None], [None] * 4]
