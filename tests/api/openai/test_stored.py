"""Responses that are kept: read, gone on with, removed, erased; for their own key, for a while."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai.types.responses import Response as SdkResponse

from appliance.api.app import create_lan_app
from appliance.app import initialise, open_services
from appliance.clock import FixedClock
from appliance.config import Config, ServerConfig
from appliance.engine.text.reply import ReplyForm
from appliance.serving import kept_answers
from appliance.types import Delta
from tests.api.conftest import Lan
from tests.api.fake import CARD, TEXT, FakeInference, with_fakes
from tests.parts import having

ROUTE = "/v1/responses"
DAY_S = 86_400


def body(text: str = "Hi", **fields: Any) -> dict[str, Any]:
    return {"model": CARD.id, "input": text, **fields}


def heard(lan: Lan) -> list[tuple[str, str]]:
    messages = lan.inference.requests[-1][1].messages or ()
    return [(m["role"], m["content"]) for m in messages]


def code(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_goes_on_from_the_id_of_a_response(lan: Lan, stream: bool) -> None:
    first = await lan.client.post(ROUTE, json=body(stream=stream, instructions="Be brief."))
    name = f"resp_{first.headers['x-request-id'].removeprefix('req-')}"
    kept = (await lan.client.get(f"{ROUTE}/{name}")).json()
    assert SdkResponse.model_validate(kept).output_text == TEXT and kept["store"] is True
    if not stream:
        assert kept == first.json()
    second = await lan.client.post(ROUTE, json=body("And now?", previous_response_id=name))
    assert heard(lan) == [("user", "Hi"), ("assistant", TEXT), ("user", "And now?")]
    assert second.json()["previous_response_id"] == name
    third = body("Then?", previous_response_id=second.json()["id"])
    await lan.client.post(ROUTE, json=third)
    assert [text for _, text in heard(lan)] == ["Hi", TEXT, "And now?", TEXT, "Then?"]


async def test_ten_turns_across_a_restart(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    previous, secret = None, ""
    for turn in range(10):  # a server of its own each
        with open_services(tmp_path / "data") as real:
            inference = FakeInference(real.audit)
            secret = secret or real.keys.create("app")[1]
            app = create_lan_app(with_fakes(real, inference))
            async with _client(app, secret) as client:
                asked = body(f"turn {turn}", previous_response_id=previous)
                previous = (await client.post(ROUTE, json=asked)).json()["id"]
            messages = inference.requests[-1][1].messages or ()
            assert len(messages) == 2 * turn + 1 and messages[0]["content"] == "turn 0"


def _client(app: Any, secret: str) -> httpx.AsyncClient:
    transport, headers = httpx.ASGITransport(app), {"x-api-key": secret}
    return httpx.AsyncClient(transport=transport, base_url="http://l", headers=headers)


async def test_items_are_named_by_the_ids_of_an_earlier_answer(lan: Lan) -> None:
    form = ReplyForm("hermes", frozenset({"weather"}))
    lan.inference.form = form
    call = '<tool_call>{"name": "weather", "arguments": {}}</tool_call>'
    lan.inference.script = (Delta(call, 5, "stop"),)
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
    (made,) = (await lan.client.post(ROUTE, json=body(tools=[tool]))).json()["output"]
    lan.inference.form, lan.inference.script = ReplyForm(), (Delta("Cold.", 1, "stop"),)
    result = {"type": "function_call_output", "call_id": made["call_id"], "output": "-3"}
    items = [
        {"role": "user", "content": "Hi"},
        {"type": "item_reference", "id": made["id"]},
        result,
    ]
    said = (await lan.client.post(ROUTE, json=body(input=items, tools=[tool]))).json()
    messages = lan.inference.requests[-1][1].messages or ()
    assert messages[1]["tool_calls"][0]["function"]["name"] == "weather"
    named = {"type": "item_reference", "id": said["output"][0]["id"]}
    await lan.client.post(ROUTE, json=body(input=[items[0], named, items[0]]))
    assert [text for _, text in heard(lan)] == ["Hi", "Cold.", "Hi"]
    stranger = {"type": "item_reference", "id": "msg_" + "0" * 32 + "_0"}
    refused = await lan.client.post(ROUTE, json=body(input=[items[0], stranger]))
    assert code(refused) == (400, "unsupported_parameter")


async def test_input_items_are_listed(lan: Lan) -> None:
    first = (await lan.client.post(ROUTE, json=body())).json()
    second = (
        await lan.client.post(ROUTE, json=body("So?", previous_response_id=first["id"]))
    ).json()
    found = (await lan.client.get(f"{ROUTE}/{second['id']}/input_items")).json()
    assert [item["content"][0]["text"] for item in found["data"]] == ["Hi", TEXT, "So?"]
    assert found["data"][1]["id"] == first["output"][0]["id"]
    assert (found["first_id"], found["has_more"]) == ("item_0", False)


async def test_another_key_finds_nothing(lan: Lan) -> None:
    name = (await lan.client.post(ROUTE, json=body())).json()["id"]
    _, secret = lan.services.keys.create("stranger")
    async with lan.anonymous(**{"x-api-key": secret}) as client:
        for path in (f"{ROUTE}/{name}", f"{ROUTE}/{name}/input_items"):
            assert code(await client.get(path)) == (404, "response_not_found")
        assert code(await client.delete(f"{ROUTE}/{name}")) == (404, "response_not_found")
        went = await client.post(ROUTE, json=body(previous_response_id=name))
        assert code(went) == (404, "response_not_found")
    assert (await lan.client.get(f"{ROUTE}/{name}")).status_code == 200


async def test_what_is_removed_is_gone(lan: Lan) -> None:
    name = (await lan.client.post(ROUTE, json=body())).json()["id"]
    gone = await lan.client.delete(f"{ROUTE}/{name}")
    assert gone.json() == {"id": name, "object": "response", "deleted": True}
    assert code(await lan.client.get(f"{ROUTE}/{name}")) == (404, "response_not_found")
    assert (await lan.client.delete(f"{ROUTE}/{name}")).status_code == 404


async def test_erasing_one_request_erases_every_response_that_repeats_it(lan: Lan) -> None:
    first = await lan.client.post(ROUTE, json=body("a secret"))
    name = first.json()["id"]
    second = (await lan.client.post(ROUTE, json=body("b", previous_response_id=name))).json()["id"]
    other = (await lan.client.post(ROUTE, json=body("c"))).json()["id"]
    lan.services.erasure.erase(first.headers["x-request-id"], "uid:7", "asked for")
    for gone in (name, second):
        assert code(await lan.client.get(f"{ROUTE}/{gone}")) == (409, "erased")
        went = await lan.client.post(ROUTE, json=body(previous_response_id=gone))
        assert code(went) == (409, "erased")
    assert (await lan.client.get(f"{ROUTE}/{other}")).status_code == 200


async def test_an_answer_to_what_is_erased_meanwhile_is_erased(lan: Lan) -> None:
    first = await lan.client.post(ROUTE, json=body("a secret"))
    hold = asyncio.Event()
    lan.inference.script = (hold, *lan.inference.script)
    asked = body("b", previous_response_id=first.json()["id"])
    under_way = asyncio.create_task(lan.client.post(ROUTE, json=asked))
    while len(lan.inference.requests) < 2:
        await asyncio.sleep(0)
    lan.services.erasure.erase(first.headers["x-request-id"], "uid:7", "asked for")
    hold.set()
    name = (await under_way).json()["id"]
    assert code(await lan.client.get(f"{ROUTE}/{name}")) == (409, "erased")


async def test_a_new_secret_of_the_key_goes_on_with_what_is_kept(lan: Lan) -> None:
    name = (await lan.client.post(ROUTE, json=body())).json()["id"]
    talk = (await lan.client.post("/v1/conversations", json={})).json()["id"]
    key = lan.services.keys.authenticate(lan.secret)
    _, secret = lan.services.keys.rotate(key.key_id, 0)
    assert (await lan.client.get(f"{ROUTE}/{name}")).status_code == 401
    async with lan.anonymous(**{"x-api-key": secret}) as client:
        for field in ({"previous_response_id": name}, {"conversation": talk}):
            assert (await client.post(ROUTE, json=body(**field))).status_code == 200
        assert (await client.delete(f"{ROUTE}/{name}")).status_code == 200


async def test_what_is_not_to_be_kept_is_not(lan: Lan) -> None:
    plain = (await lan.client.post(ROUTE, json=body(store=False))).json()
    assert plain["store"] is False
    assert (await lan.client.get(f"{ROUTE}/{plain['id']}")).status_code == 404
    _, secret = lan.services.keys.create("quiet responses", content="off")
    async with lan.anonymous(**{"x-api-key": secret}) as client:
        quiet = (await client.post(ROUTE, json=body(store=True))).json()
        assert quiet["store"] is False
        assert (await client.get(f"{ROUTE}/{quiet['id']}")).status_code == 404


async def test_a_key_that_has_too_many_is_told(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_answers, "MOST_OF_A_KEY", 0)
    assert code(await lan.client.post(ROUTE, json=body(store=True))) == (429, "kept_answers_full")
    assert (await lan.client.post(ROUTE, json=body())).json()["store"] is False


@pytest.fixture
async def ageing(tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, FixedClock]]:
    initialise(tmp_path / "data", "lab")
    clock = FixedClock()
    config = Config(server=ServerConfig(responses_days=2))
    with open_services(tmp_path / "data", config=config, clock=clock) as real:
        app = create_lan_app(with_fakes(real, FakeInference(real.audit)))
        async with _client(app, real.keys.create("app")[1]) as client:
            yield client, clock


async def test_a_response_is_kept_for_so_many_days(
    ageing: tuple[httpx.AsyncClient, FixedClock],
) -> None:
    client, clock = ageing
    name = (await client.post(ROUTE, json=body())).json()["id"]
    clock.advance(2 * DAY_S - 1)
    assert (await client.get(f"{ROUTE}/{name}")).status_code == 200
    clock.advance(1)
    assert (await client.get(f"{ROUTE}/{name}")).status_code == 404


async def test_no_days_keep_nothing(lan: Lan) -> None:
    config = Config(server=ServerConfig(responses_days=0))
    app = create_lan_app(having(lan.services, config=config))
    async with _client(app, lan.secret) as client:
        assert (await client.post(ROUTE, json=body())).json()["store"] is False


async def test_an_answer_that_fails_is_not_kept(lan: Lan) -> None:
    lan.inference.script = (Delta("Hel", 1), RuntimeError("lost"))
    reply = await lan.client.post(ROUTE, json=body(stream=True))
    name = f"resp_{reply.headers['x-request-id'].removeprefix('req-')}"
    assert (await lan.client.get(f"{ROUTE}/{name}")).status_code == 404
