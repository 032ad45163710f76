"""`POST /mcp` as a whole: off by default, both generations, hostile messages, nothing kept."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from appliance.api.app import create_lan_app
from appliance.app import Services
from tests.api.conftest import MAX_BODY, Lan
from tests.api.fake import CARD
from tests.api.mcp.conftest import PAGE
from tests.api.mcp.test_protocol import ALONE, META

INITIALIZE = {
    "protocolVersion": "2025-11-25", "capabilities": {},
    "clientInfo": {"name": "c", "version": "1"},
}  # fmt: skip
MANY = 2_000


def message(method: str, **params: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}


async def test_without_the_switch_there_is_no_such_address(
    lan: Lan, real_services: Services
) -> None:
    transport = httpx.ASGITransport(create_lan_app(real_services))
    headers = {"authorization": f"Bearer {lan.secret}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://lan", headers=headers) as c:
        assert (await c.post("/mcp", json=message("ping"))).status_code == 404
    assert (await lan.client.post("/mcp", json=message("ping"))).status_code == 200  # the control


@pytest.mark.parametrize(
    ("wanted", "given"),
    [("2025-06-18", "2025-06-18"), ("2024-11-05", "2025-11-25"), ("2099-01-01", "2025-11-25")],
)
async def test_a_handshake_settles_the_version_and_makes_no_session(
    lan: Lan, wanted: str, given: str
) -> None:
    asked = message("initialize", **{**INITIALIZE, "protocolVersion": wanted})
    reply = await lan.client.post("/mcp", json=asked)
    result = reply.json()["result"]
    assert (result["protocolVersion"], result["serverInfo"]["name"]) == (given, "appliance")
    assert result["capabilities"] == {"tools": {}} and "mcp-session-id" not in reply.headers
    notice = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    headers = {"mcp-protocol-version": given, "mcp-session-id": "made up"}
    told = await lan.client.post("/mcp", json=notice, headers=headers)
    assert (told.status_code, told.content) == (202, b"")
    pong = await lan.client.post("/mcp", json=message("ping"), headers=headers)
    assert pong.json() == {"jsonrpc": "2.0", "id": 7, "result": {}}


async def test_a_request_that_stands_alone_discovers_lists_and_calls(lan: Lan) -> None:
    for method in ("server/discover", "tools/list"):
        headers = {**ALONE, "mcp-method": method}
        reply = await lan.client.post("/mcp", json=message(method, _meta=META), headers=headers)
        result = reply.json()["result"]
        assert (result["resultType"], result["cacheScope"]) == ("complete", "private")
        assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "appliance"
    call = message("tools/call", name="ask", arguments={}, _meta=META)
    result = (await lan.client.post("/mcp", json=call, headers=ALONE)).json()["result"]
    assert result["isError"] and result["resultType"] == "complete" and len(result["_meta"]) == 2
    for method in ("ping", "initialized", "prompts/list"):  # of the other generation, or of none
        headers = {**ALONE, "mcp-method": method}
        reply = await lan.client.post("/mcp", json=message(method, _meta=META), headers=headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, -32601)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (message("prompts/list"), -32601),
        (message("server/discover"), -32601),
        (message("tools/list", cursor="x"), -32602),
        (message("initialize"), -32602),
        (message("tools/call", name="shell"), -32602),
        (message("tools/call"), -32602),
        (message("tools/call", name="ask", arguments=[1]), -32602),
    ],
)
async def test_refusals_of_the_protocol_come_with_the_id(
    lan: Lan, asked: dict[str, Any], code: int
) -> None:
    reply = await lan.client.post("/mcp", json=asked)
    told = reply.json()
    assert (reply.status_code, told["id"], told["error"]["code"]) == (200, 7, code)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700), (b"\xff", -32700), (b'{"a": 1, "a": 2}', -32700),
        (b'{"jsonrpc": "2.0", "id": "\\ud800", "method": "ping"}', -32700),
        (b'{"jsonrpc": "2.0", "id": ' + b"1" * 9_000 + b', "method": "ping"}', -32700),
        (b"[" * 90_000, -32700), (b"[]", -32600), (b"null", -32600), (b"{}", -32600),
        (b"[" + b'{"jsonrpc": "2.0", "id": 1, "method": "ping"},' * 4_000 + b"1]", -32600),
        (b'{"jsonrpc": "2.0", "id": 1e400, "method": "ping"}', -32600),
    ],
)  # fmt: skip
async def test_what_is_no_message_is_refused_by_http_too(lan: Lan, body: bytes, code: int) -> None:
    reply = await lan.client.post(
        "/mcp", content=body, headers={"content-type": "application/json"}
    )
    told = reply.json()
    assert (reply.status_code, told["id"], told["error"]["code"]) == (400, None, code)
    assert len(reply.content) < 1_000


async def test_the_checks_of_every_route_stand_before_it(lan: Lan) -> None:
    async with lan.anonymous() as client:
        assert (await client.post("/mcp", json=message("ping"))).status_code == 401
    for method in ("GET", "DELETE"):
        reply = await lan.client.request(method, "/mcp", headers={"accept": "text/event-stream"})
        assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    plain = await lan.client.post("/mcp", content=b"{}", headers={"content-type": "text/plain"})
    assert plain.status_code == 415
    large = await lan.client.post("/mcp", json=message("ping", x="x" * MAX_BODY))
    assert large.status_code == 413


@pytest.mark.parametrize(
    ("origin", "status"),
    [(None, 200), (PAGE, 200), ("http://evil.example", 403), ("http://lan", 403), ("null", 403)],
)
async def test_a_page_calls_from_a_named_origin_or_not_at_all(
    lan: Lan, origin: str | None, status: int
) -> None:
    headers = {} if origin is None else {"origin": origin}
    reply = await lan.client.post("/mcp", json=message("ping"), headers=headers)
    assert reply.status_code == status


async def test_a_call_counts_for_the_quota_and_a_listing_for_none(lan: Lan) -> None:
    before = len(lan.inference.requests)
    for _ in range(3):
        await lan.client.post("/mcp", json=message("tools/list"))
    assert len(lan.inference.requests) == before
    counted = lan.services.rejected.lately(["mcp"])
    assert counted[lan.services.keys.authenticate(lan.secret).key_id] == {"mcp": 3}


async def test_a_client_that_leaves_ends_its_call(lan: Lan) -> None:
    lan.inference.hold = asyncio.Event()
    texts = {"task": CARD.id, "texts": ["a"]}
    call = message("tools/call", name="classify", arguments=texts)
    asking = asyncio.create_task(lan.client.post("/mcp", json=call))
    await lan.inference.starting.wait()
    asking.cancel()
    lan.inference.hold.set()
    await asyncio.gather(asking, return_exceptions=True)
    assert await asyncio.to_thread(lan.inference.cancels.wait, 20)


async def test_clients_by_the_thousand_leave_nothing_behind(lan: Lan) -> None:
    app, held = lan.app, []
    for number in range(MANY):
        asked = message("initialize", **INITIALIZE, _meta={"n": number})
        assert (await lan.client.post("/mcp", json=asked)).status_code == 200
        if number % (MANY // 2) == MANY // 4:
            held.append({name: repr(value) for name, value in vars(app.state)["_state"].items()})
    assert held[0] == held[1]


async def test_a_key_that_may_not_use_the_task_is_told_so_in_the_result(lan: Lan) -> None:
    key, secret = lan.services.keys.create("narrow", models=["else"])
    headers = {"authorization": f"Bearer {secret}"}
    call = message("tools/call", name="classify", arguments={"task": CARD.id, "texts": ["a"]})
    result = (await lan.client.post("/mcp", json=call, headers=headers)).json()["result"]
    lan.services.keys.revoke(key.id)
    assert result["_meta"]["appliance/error"]["code"] == "model_not_found"
    assert replace(CARD).id in result["content"][0]["text"] or result["isError"]
