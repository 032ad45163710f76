"""`/v1/conversations`: read, listed, gone on with by responses, for their own key alone."""

import threading
from typing import Any

import pytest
from openai.types.conversations import Conversation, ConversationItemList

from appliance.api.openai import conversations, kept_conversations
from appliance.api.openai.kept_conversations import spelled
from appliance.types import Delta
from appliance.wire.openai.responses_request import Item
from tests.api.conftest import Lan
from tests.api.fake import TEXT, worker_lost
from tests.api.openai.test_stored import ROUTE, body, code, heard

CONVERSATIONS = "/v1/conversations"
HI = {"role": "user", "content": "Hi"}


async def begun(lan: Lan, *items: dict[str, Any], **metadata: str) -> str:
    reply = await lan.client.post(CONVERSATIONS, json={"items": list(items), "metadata": metadata})
    found = Conversation.model_validate(reply.json())
    assert found.metadata == metadata and found.id.startswith("conv_")
    return found.id


async def texts(lan: Lan, name: str, **query: Any) -> list[str]:
    reply = await lan.client.get(f"{CONVERSATIONS}/{name}/items", params={"order": "asc", **query})
    ConversationItemList.model_validate(reply.json())
    return [item["content"][0]["text"] for item in reply.json()["data"]]


@pytest.mark.parametrize("form", [{"stream": True}, {"store": False}, {"background": True}, {}])
async def test_responses_go_on_with_it_and_add_to_it(lan: Lan, form: dict[str, bool]) -> None:
    name = await begun(lan, {"role": "developer", "content": "Be brief."})
    for turn, said in enumerate(("Hi", "And now?")):
        named: Any = name if turn else {"id": name}
        reply = await lan.client.post(ROUTE, json=body(said, conversation=named, **form))
        assert reply.status_code == 200
        await lan.services.backgrounds.ended()
        if "stream" not in form:
            assert reply.json()["conversation"] == {"id": name}
    assert [text for _, text in heard(lan)] == ["Be brief.", "Hi", TEXT, "And now?"]
    assert await texts(lan, name) == ["Be brief.", "Hi", TEXT, "And now?", TEXT]


async def test_an_answer_that_fails_adds_nothing(lan: Lan) -> None:
    name = await begun(lan)
    lan.inference.script = (Delta("a", 1), worker_lost())
    assert (await lan.client.post(ROUTE, json=body(conversation=name))).status_code == 503
    assert await texts(lan, name) == []


async def test_items_are_added_listed_found_and_removed(lan: Lan) -> None:
    name = await begun(lan, HI)
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    more = [{"role": "assistant", "content": str(n)} for n in range(3)]
    where = f"{CONVERSATIONS}/{name}/items"
    added = (await lan.client.post(where, json={"items": [*more, call]})).json()["data"]
    page = (await lan.client.get(where, params={"limit": 2})).json()
    assert [item["id"] for item in page["data"]] == [added[3]["id"], added[2]["id"]]
    assert page["has_more"] and page["last_id"] == added[2]["id"]
    rest = (await lan.client.get(where, params={"after": page["last_id"]})).json()
    assert len(rest["data"]) == 3 and not rest["has_more"]
    one = (await lan.client.get(f"{where}/{added[3]['id']}")).json()
    assert (one["type"], one["name"]) == ("function_call", "f")
    gone = await lan.client.delete(f"{where}/{added[3]['id']}")
    assert Conversation.model_validate(gone.json()).id == name
    assert await texts(lan, name) == ["Hi", "0", "1", "2"]
    for method in ("GET", "DELETE"):
        absent = await lan.client.request(method, f"{where}/{added[3]['id']}")
        assert code(absent) == (404, "conversation_not_found")


async def test_metadata_is_changed_and_the_whole_removed(lan: Lan) -> None:
    name = await begun(lan, HI, topic="pumps")
    where = f"{CONVERSATIONS}/{name}"
    changed = await lan.client.post(where, json={"metadata": {"topic": "valves"}})
    assert changed.json() == (await lan.client.get(where)).json()
    assert changed.json()["metadata"] == {"topic": "valves"}
    assert code(await lan.client.post(where, json={"items": [HI]})) == (
        400, "unsupported_parameter",
    )  # fmt: skip
    assert (await lan.client.delete(where)).json()["deleted"] is True
    assert code(await lan.client.get(where)) == (404, "conversation_not_found")
    after = await lan.client.post(ROUTE, json=body(conversation=name))
    assert code(after) == (404, "conversation_not_found") and not lan.inference.requests


async def test_another_key_finds_nothing(lan: Lan) -> None:
    name = await begun(lan, HI)
    item = (await lan.client.get(f"{CONVERSATIONS}/{name}/items")).json()["first_id"]
    key, secret = lan.services.keys.create("another")
    paths = ["", "/items", f"/items/{item}"]
    async with lan.anonymous(authorization=f"Bearer {secret}") as client:
        found = [await client.get(f"{CONVERSATIONS}/{name}{path}") for path in paths]
        found += [await client.delete(f"{CONVERSATIONS}/{name}{path}") for path in ("", paths[2])]
        found += [await client.post(f"{CONVERSATIONS}/{name}", json={"metadata": {}})]
        found += [await client.post(f"{CONVERSATIONS}/{name}/items", json={"items": [HI]})]
        found += [await client.post(ROUTE, json=body(conversation=name))]
    lan.services.keys.revoke(key.id)
    assert {code(reply) for reply in found} == {(404, "conversation_not_found")}
    assert await texts(lan, name) == ["Hi"]  # the control


async def test_a_key_whose_texts_are_not_kept_has_none(lan: Lan) -> None:
    key, secret = lan.services.keys.create("silent", content="off")
    async with lan.anonymous(authorization=f"Bearer {secret}") as client:
        reply = await client.post(CONVERSATIONS, json={})
    lan.services.keys.revoke(key.id)
    assert code(reply) == (403, "forbidden")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_x", "conversation": "conv_x"}, "conversation"),
        ({"conversation": ""}, "conversation.id"),
        ({"conversation": 5}, "conversation"),
    ],
)
async def test_what_names_no_conversation_is_refused(
    lan: Lan, fields: dict[str, Any], param: str
) -> None:
    reply = await lan.client.post(ROUTE, json=body(**fields))
    assert code(reply) == (400, "invalid_value") and reply.json()["error"]["param"] == param


async def test_a_reference_is_no_item_of_a_conversation(lan: Lan) -> None:
    reference = {"type": "item_reference", "id": "msg_1"}
    reply = await lan.client.post(CONVERSATIONS, json={"items": [reference]})
    assert code(reply) == (400, "unsupported_parameter")


async def test_items_are_spelled_outside_of_the_loop(
    lan: Lan, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def noted(items: list[Item]) -> list[bytes]:
        threads.append(threading.current_thread())
        return spelled(items)

    for module in (kept_conversations, conversations):
        monkeypatch.setattr(module, "spelled", noted)
    name = await begun(lan, HI)
    await lan.client.post(f"{CONVERSATIONS}/{name}/items", json={"items": [HI]})
    assert await texts(lan, name) == ["Hi", "Hi"]
    assert len(threads) == 2 and threading.main_thread() not in threads
