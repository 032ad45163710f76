"""The gates before the routes: request id, key, size, type."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from appliance.api.transport import BodyGate, KeyGate, RequestContext
from appliance.errors import Unauthenticated, Unavailable
from appliance.types import Principal


class Inner:
    """An application that notes what reaches it and reads the whole body."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.body = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        more = scope["type"] == "http"
        while more:
            message = await receive()
            self.body += message.get("body", b"")
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def authenticate(secret: str) -> Principal:
    if secret == "good":
        return Principal("id", "app")
    raise Unauthenticated("invalid_api_key", "no")


async def ask(app: Any, method: str = "POST", path: str = "/x", **options: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://lan") as client:
        return await client.request(method, path, **options)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


# request context


async def test_every_answer_is_tagged_and_ids_differ() -> None:
    inner = Inner()
    app = RequestContext(inner, "lab")
    first, second = await ask(app), await ask(app)
    assert first.headers["x-appliance-profile"] == "lab"
    ids = [r.headers["x-request-id"] for r in (first, second)]
    assert [s["state"]["request_id"] for s in inner.scopes] == ids
    assert ids[0] != ids[1] and all(len(i) == 36 and i.startswith("req-") for i in ids)


async def test_a_client_cannot_choose_the_request_id() -> None:
    reply = await ask(RequestContext(Inner(), "lab"), headers={"x-request-id": "mine"})
    assert reply.headers.get_list("x-request-id") != ["mine"]


async def test_a_crash_becomes_a_500_in_our_shape(caplog: pytest.LogCaptureFixture) -> None:
    async def crash(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ZeroDivisionError(*["prompt", "text"])

    reply = await ask(RequestContext(crash, "lab"))
    assert reply.status_code == 500
    assert reply.json()["error"]["code"] == "internal_error"
    assert reply.headers["x-request-id"] in reply.json()["error"]["message"]
    assert "ZeroDivisionError" in caplog.text
    assert "('prompt', 'text')" not in reply.text + caplog.text


async def test_a_crash_in_mid_answer_cuts_the_answer_off() -> None:
    async def crash(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError("prompt text")

    with pytest.raises(RuntimeError, match="cut off") as caught:
        await ask(RequestContext(crash, "lab"))
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


async def test_websockets_are_closed_before_anything_else() -> None:
    inner, sent = Inner(), []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    await RequestContext(inner, "lab")({"type": "websocket", "path": "/healthz"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}] and not inner.scopes


# key gate


def gate(inner: Inner) -> RequestContext:
    return RequestContext(KeyGate(inner, authenticate, frozenset({"/open"})), "lab")


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer good"}, {"authorization": "bearer  good "},
        {"x-api-key": "good"}, {"authorization": "Bearer good", "x-api-key": "bad"},
        {"authorization": "Basic Zm9v", "x-api-key": "good"},
    ],
)  # fmt: skip
async def test_a_key_in_either_header_opens_the_gate(headers: dict[str, str]) -> None:
    inner = Inner()
    assert (await ask(gate(inner), headers=headers)).status_code == 204
    assert inner.scopes[0]["state"]["principal"].key_id == "id"


async def test_an_appliance_that_may_answer_nobody_says_when_to_try_again() -> None:
    def stale(secret: str) -> Principal:
        raise Unavailable("site_stale", "No other appliance answered.", retry_after=5)

    inner = Inner()
    gated = RequestContext(KeyGate(inner, stale, frozenset()), "lab")
    reply = await ask(gated, headers={"authorization": "Bearer good"})
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
    assert reply.json()["error"]["code"] == "site_stale" and not inner.scopes


@pytest.mark.parametrize(
    "headers",
    [
        [], [("authorization", "Bearer bad")], [("authorization", "good")],
        [("authorization", "Basic good")], [("authorization", "Bearer")], [("x-api-key", "bad")],
        [("authorization", "Bearer bad"), ("x-api-key", "good")],
        [("authorization", "Bearer good"), ("authorization", "Bearer good")],
        [("x-api-key", "good"), ("x-api-key", "bad")],
        [("cookie", "authorization=good")], [("authorization", "Bearer good, Bearer good")],
        [("authorization", b"Bearer \xff\xfe")],
    ],
)  # fmt: skip
async def test_anything_else_is_401_and_reaches_nothing(headers: list[tuple[str, str]]) -> None:
    inner = Inner()
    reply = await ask(gate(inner), headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    assert not inner.scopes and reply.headers["x-request-id"]


async def test_a_key_in_the_query_is_no_key() -> None:
    assert (await ask(gate(Inner()), path="/x?api_key=good&key=good")).status_code == 401


@pytest.mark.parametrize(
    ("path", "status"),
    [("/open", 204), ("/open/", 401), ("/open/x", 401), ("//open", 401), ("/OPEN", 401),
     ("/x/../open", 204), ("/open%2Fx", 401), ("/open;x", 401), ("/ope%6E", 204)],
)  # fmt: skip
async def test_public_paths_are_compared_whole(path: str, status: int) -> None:
    # httpx resolves dots itself; percent signs arrive decoded, as the router sees them.
    assert (await ask(gate(Inner()), "GET", path)).status_code == status


# body gate


async def test_a_body_up_to_the_limit_passes_whole() -> None:
    inner = Inner()
    json = {"content-type": "application/json; charset=utf-8"}
    reply = await ask(BodyGate(inner, 10), content=b"0123456789", headers=json)
    assert reply.status_code == 204 and inner.body == b"0123456789"


@pytest.mark.parametrize("length", ["11", "9" * 17, "9" * 400])
async def test_a_declared_length_above_the_limit_is_refused_unread(length: str) -> None:
    inner = Inner()
    headers = {"content-type": "application/json", "content-length": length}
    reply = await ask(BodyGate(inner, 10), content=chunks(b"x"), headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "request_too_large")
    assert not inner.scopes


@pytest.mark.parametrize("length", ["-1", "+5", "1_0", " ", "0x5", "²", "1.0"])
async def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    headers = [("content-type", "application/json"), ("content-length", length.encode())]
    reply = await ask(BodyGate(Inner(), 10), content=chunks(b"x"), headers=headers)
    assert reply.status_code == 400


async def test_a_chunked_body_is_stopped_at_the_limit() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"12345"

    inner = Inner()
    headers = {"content-type": "application/json"}
    app = RequestContext(BodyGate(inner, 12), "lab")
    reply = await ask(app, content=endless(), headers=headers)
    assert inner.body == b"1234512345"
    assert reply.status_code == 500  # nothing here maps what the framework's body reader maps


@pytest.mark.parametrize(
    "kind",
    [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/jsonx", "json", "", "text/plain; application/json"],
)  # fmt: skip
async def test_a_body_that_is_not_json_by_type_is_415(kind: str | None) -> None:
    inner = Inner()
    headers = {} if kind is None else {"content-type": kind}
    reply = await ask(BodyGate(inner, 10), content=b"{}", headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (415, "unsupported_media_type")
    assert not inner.scopes


async def test_requests_without_a_body_need_no_type() -> None:
    assert (await ask(BodyGate(Inner(), 10), "GET")).status_code == 204


async def test_a_method_without_a_body_is_not_refused_for_its_type() -> None:
    sent: dict[str, Any] = {
        "content": b"x",
        "headers": {"content-type": "multipart/form-data; boundary=x"},
    }
    assert (await ask(BodyGate(Inner(), 10), "TRACE", **sent)).status_code == 204
    assert (await ask(BodyGate(Inner(), 10), "POST", **sent)).status_code == 415
