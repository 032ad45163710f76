"""`/v1/requests`: the key's own requests, the newest first, and no other's."""

from typing import Any

from appliance.audit.log import Draft
from tests.api.conftest import Lan


async def ask(lan: Lan, chat: dict[str, Any]) -> str:
    reply = await lan.client.post("/v1/chat/completions", json=chat)
    return str(reply.headers["x-request-id"])


async def listed(lan: Lan, query: str = "") -> tuple[list[str], Any]:
    told = (await lan.client.get(f"/v1/requests{query}")).json()
    return [one["id"] for one in told["data"]], told["before"]


async def test_own_requests_come_newest_first_page_by_page(
    lan: Lan, chat_body: dict[str, Any]
) -> None:
    asked = [await ask(lan, chat_body) for _ in range(3)]
    page, before = await listed(lan, "?limit=2")
    assert page == asked[:0:-1]
    rest, end = await listed(lan, f"?limit=2&before={before}")
    assert (rest, end) == (asked[:1], None)
    (newest, *_) = (await lan.client.get("/v1/requests")).json()["data"]
    assert (newest["state"], newest["route"]) == ("ok", "/v1/chat/completions")
    assert newest["response"] is None and "Hi" not in str(newest)


async def test_a_response_names_where_its_words_are(lan: Lan, chat_body: dict[str, Any]) -> None:
    body = {"model": chat_body["model"], "input": "Hi"}
    response = (await lan.client.post("/v1/responses", json=body)).json()["id"]
    (newest, *_) = (await lan.client.get("/v1/requests")).json()["data"]
    assert newest["response"] == response
    assert (await lan.client.get(f"/v1/responses/{response}")).status_code == 200


async def test_older_ones_are_left_out(lan: Lan, chat_body: dict[str, Any]) -> None:
    await ask(lan, chat_body)
    now = lan.services.clock.wall_us() // 1_000_000
    assert len((await listed(lan, f"?since={now - 60}"))[0]) == 1
    assert (await listed(lan, f"?since={now + 60}"))[0] == []


async def test_another_key_sees_none_of_them(lan: Lan, chat_body: dict[str, Any]) -> None:
    await ask(lan, chat_body)
    _, secret = lan.services.keys.create("another asker")
    async with lan.anonymous(authorization=f"Bearer {secret}") as client:
        assert (await client.get("/v1/requests")).json()["data"] == []


async def test_a_request_that_runs_is_open(lan: Lan) -> None:
    key = lan.services.keys.authenticate(lan.secret)
    asked = {"request_id": "req-" + "0" * 32, "key_id": key.key_id, "app": key.name}
    draft = Draft("intent", {**asked, "model": "m", "route": "/v1/responses"})
    lan.services.audit.append(draft).result()
    (newest, *_) = (await lan.client.get("/v1/requests")).json()["data"]
    assert (newest["id"], newest["state"]) == (asked["request_id"], "open")


async def test_wrong_limits_are_refused(lan: Lan) -> None:
    for query in ("limit=0", "limit=101", "since=-1", "before=x"):
        assert (await lan.client.get(f"/v1/requests?{query}")).status_code == 400
