"""An app finds its batches, files, conversations and stored responses through any appliance."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from appliance.api import site_relay
from appliance.api.app import create_lan_app
from appliance.api.site_relay import RELAYED, RESPONSES, OtherMember, SiteRelay
from appliance.app import Services, initialise
from appliance.auth import certificates
from tests.api.fake import CARD, FakeInference, with_fakes
from tests.parts import having
from tests.peers.site_members import OneOf, made_site, opened

FILE = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n' * 3_000
CHAT = "/v1/chat/completions"
ALONE = {RELAYED: "1"}


@dataclass
class Reached:
    """One appliance, and clients of it: of the app, and of another one."""

    services: Services
    app: FastAPI
    client: httpx.AsyncClient
    stranger: httpx.AsyncClient


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that stood still is no silent appliance."""
    monkeypatch.setattr(site_relay, "CONNECT_S", 60.0)
    monkeypatch.setattr(site_relay, "IDLE_S", 60.0)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[OneOf, OneOf]]:
    with opened(made_site(tmp_path, "ab")[1]) as found:
        yield found["a"], found["b"]


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    server = uvicorn.Server(
        uvicorn.Config(app, "127.0.0.1", 0, log_config=None, lifespan="off", ws="none")
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


def named(one: OneOf, other: str, url: str) -> Services:
    """Its services, with the address of another one."""
    config = one.services.config
    peers = {other: replace(config.peers[other], url=url)}
    services = having(one.services, config=replace(config, peers=peers))
    return with_fakes(services, FakeInference(services.audit))


@asynccontextmanager
async def reached(services: Services, secrets: tuple[str, str]) -> AsyncIterator[Reached]:
    app = create_lan_app(services)
    clients = [
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://lan",
            headers={"authorization": f"Bearer {secret}"},
        )
        for secret in secrets
    ]
    async with clients[0], clients[1]:
        yield Reached(services, app, *clients)


@pytest.fixture
def secrets(pair: tuple[OneOf, OneOf]) -> tuple[str, str]:
    """Keys that both appliances know."""
    a, b = pair
    made = b.services.keys.create("crm")[1], b.services.keys.create("erp")[1]
    b.listens()
    a.listens()
    return made


@pytest.fixture
async def site(
    pair: tuple[OneOf, OneOf], secrets: tuple[str, str]
) -> AsyncIterator[tuple[Reached, Reached]]:
    """Two that know each other's address."""
    async with (
        reached(named(pair[1], "a", "http://127.0.0.1:9"), secrets) as b,
        listening(b.app) as url,
        reached(named(pair[0], "b", url), secrets) as a,
    ):
        yield a, b


async def uploaded(client: httpx.AsyncClient) -> str:
    form = {"purpose": "batch"}
    reply = await client.post("/v1/files", data=form, files={"file": ("lines.jsonl", FILE)})
    assert reply.status_code == 200, reply.text
    return str(reply.json()["id"])


def code(reply: httpx.Response) -> str:
    return str(reply.json()["error"]["code"])


async def test_files_and_batches_from_any_appliance(site: tuple[Reached, Reached]) -> None:
    a, b = site
    file = await uploaded(b.client)
    asked = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
    made = await a.client.post("/v1/batches", json=asked)  # where its file is
    assert made.status_code == 200, made.text
    batch = made.json()["id"]
    assert b.services.batches.store.get(batch).input == file
    paths = (f"/v1/files/{file}", f"/v1/files/{file}/content", f"/v1/batches/{batch}")
    there, here = [[await each.client.get(path) for path in paths] for each in (b, a)]
    assert [one.status_code for one in (*there, *here)] == [200] * 6
    assert here[0].json() == there[0].json() and here[1].content == FILE
    assert here[2].json()["id"] == batch
    for path in paths:  # not another app's, and its refusal is that of an id that is nowhere
        nowhere = path.replace(file, f"file-{'0' * 32}").replace(batch, f"batch_{'0' * 22}")
        refused, unknown = await a.stranger.get(path), await a.client.get(nowhere)
        assert (refused.status_code, refused.json()) == (404, unknown.json())
    ended = await a.client.post(f"/v1/batches/{batch}/cancel")
    assert ended.status_code == 200 or code(ended) == "batch_ended"
    job = b.services.batches.store.get(batch).job
    if job is not None and (live := b.services.jobs.live(job)) is not None:
        await asyncio.wait([asyncio.ensure_future(live.outcome())])
    assert (await a.client.delete(f"/v1/files/{file}")).json()["deleted"] is True
    assert code(await b.client.get(f"/v1/files/{file}", headers=ALONE)) == "file_not_found"


async def test_responses_and_conversations_from_any_appliance(
    site: tuple[Reached, Reached],
) -> None:
    a, b = site
    made = await b.client.post("/v1/responses", json={"model": CARD.id, "input": "Hi"})
    talk = await b.client.post("/v1/conversations", json={"metadata": {"for": "a test"}})
    paths = [
        f"/v1/responses/{made.json()['id']}",
        f"/v1/responses/{made.json()['id']}/input_items",
        f"/v1/conversations/{talk.json()['id']}",
    ]
    for path in paths:
        there, here = await b.client.get(path), await a.client.get(path)
        assert (there.status_code, there.json()) == (here.status_code, here.json())
        assert here.status_code == 200
        assert (await a.stranger.get(path)).status_code == 404
    assert (await a.client.delete(paths[0])).status_code == 200
    assert (await b.client.get(paths[0], headers=ALONE)).status_code == 404


async def test_a_conversation_goes_on_where_it_is_kept(site: tuple[Reached, Reached]) -> None:
    a, b = site
    first = (await b.client.post(RESPONSES, json={"model": CARD.id, "input": "Hi"})).json()["id"]
    follow = {"model": CARD.id, "input": "And?", "previous_response_id": first}
    assert code(await a.stranger.post(RESPONSES, json=follow)) == "response_not_found"
    made = await a.client.post(RESPONSES, json=follow, headers={"idempotency-key": "one"})
    assert made.status_code == 200 and made.json()["previous_response_id"] == first
    place = int(made.headers["x-appliance-receipt"].split()[0])
    request = b.services.reader.entry(place).body["request_id"]
    assert made.headers["x-request-id"] == request
    items = [
        (await each.client.get(f"{RESPONSES}/{made.json()['id']}/input_items")).json()["data"]
        for each in (a, b)
    ]
    assert items[0] == items[1] and len(items[0]) == 3
    again = await a.client.post(RESPONSES, json=follow, headers={"idempotency-key": "one"})
    assert again.json() == made.json() and again.headers["idempotent-replayed"] == "true"
    streamed = await a.client.post(RESPONSES, json={**follow, "stream": True})
    assert "event: response.completed" in streamed.text
    talk = (await b.client.post("/v1/conversations", json={})).json()["id"]
    added = {"model": CARD.id, "input": "Hi", "conversation": talk}
    assert (await a.client.post(RESPONSES, json=added)).status_code == 200
    kept = (await b.client.get(f"/v1/conversations/{talk}/items")).json()["data"]
    assert len(kept) == 2
    await b.client.delete(f"{RESPONSES}/{first}")
    assert code(await a.client.post(RESPONSES, json=follow)) == "response_not_found"


async def test_a_silent_appliance_may_have_it(
    pair: tuple[OneOf, OneOf], secrets: tuple[str, str]
) -> None:
    nowhere = f"/v1/files/file-{'0' * 32}"
    async with reached(named(pair[0], "b", "http://127.0.0.1:9"), secrets) as a:
        own = await uploaded(a.client)
        reply = await a.client.get(nowhere)
        assert (reply.status_code, code(reply)) == (503, "member_unreachable")
        assert "b" in reply.json()["error"]["message"] and "retry-after" in reply.headers
        assert (await a.client.get(f"/v1/files/{own}")).status_code == 200
        assert (await a.client.get("/v1/queue/q-1")).status_code == 404  # which nobody relays


async def test_a_relayed_request_is_relayed_no_further(
    pair: tuple[OneOf, OneOf], secrets: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    inner = site_relay.others_of

    def counting(services: Services) -> list[OtherMember]:
        asked.append(services.reader.origin)
        return inner(services)

    monkeypatch.setattr(site_relay, "others_of", counting)
    async with (
        reached(named(pair[1], "a", "http://127.0.0.1:9"), secrets) as b,
        listening(b.app) as url,
        reached(named(pair[0], "b", url), secrets) as a,
    ):
        path = f"/v1/files/file-{'0' * 32}"
        assert code(await a.client.get(path)) == "file_not_found"
        assert asked == [pair[0].services.reader.origin]
        assert (await a.client.get(path, headers=ALONE)).status_code == 404
        assert len(asked) == 1
        assert code(await b.client.get(path)) == "member_unreachable"  # the control
        assert len(asked) == 2


@dataclass
class Answers:
    """A server that sends the same bytes to each request, and keeps what it got."""

    sends: bytes
    got: bytes = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.got += await reader.read(1 << 16)
        writer.write(self.sends)
        await writer.drain()
        writer.close()

    @asynccontextmanager
    async def listens(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        async with await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls) as server:
            yield int(server.sockets[0].getsockname()[1])


def plain() -> None:
    """No TLS."""


async def absent(scope: Any, receive: Any, send: Any) -> None:
    said = json.dumps({"error": {"code": "file_not_found"}}).encode()
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": said})


async def relayed(
    other: OtherMember, leaves: asyncio.Event | None = None, state: Mapping[str, object] = {}
) -> list[dict[str, Any]]:
    """What an app is sent that asks for a file, until it leaves; raises as the relay does."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def receive() -> Any:
        await (leaves or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/files/file-é b",
        "query_string": b"a=b",
        "headers": [(b"authorization", b"Bearer sk"), (b"cookie", b"c"), (b"x-end-user", b"ada")],
        "state": {"principal": object(), **state},
    }
    await SiteRelay(absent, lambda: [other])(scope, receive, send)
    return sent


async def test_the_apps_key_goes_to_the_listed_certificate_only(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab", names=["localhost"])
    tls = tmp_path / "data" / "tls"
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(tls / "server.pem", tls / "server.key")
    trusted = ssl.create_default_context(cafile=tls / "ca.pem")
    good = certificates.fingerprint_of(tls / "server.pem")
    server = Answers(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
    async with server.listens(served) as port:
        url = f"https://localhost:{port}"
        sent = await relayed(OtherMember("b", url, "0" * 64, lambda: trusted))
        assert sent[0]["status"] == 503 and server.got == b""
        sent = await relayed(OtherMember("b", url, good, lambda: trusted))  # the control
        assert (sent[0]["status"], sent[1]["body"]) == (200, b"hi")
    head = server.got.decode()
    assert head.startswith("GET /v1/files/file-%C3%A9%20b?a=b HTTP/1.1\r\n")
    assert "authorization: Bearer sk\r\n" in head and "x-end-user: ada\r\n" in head
    assert "cookie" not in head and f"{RELAYED}: 1" in head


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", 404),
        (b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", 404),
        (b"HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n", 409),
        (b"HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\n\r\n", 503),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", 503),
        (b"nonsense\r\n\r\n", 503),
        (b"", 503),
    ],
)
async def test_what_another_appliance_answers(answer: bytes, status: int) -> None:
    async with Answers(answer).listens() as port:
        sent = await relayed(OtherMember("b", f"http://127.0.0.1:{port}", "", plain))
    assert sent[0]["status"] == status


async def test_a_cut_answer_is_no_whole_one() -> None:
    cut = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi"
    async with Answers(cut).listens() as port:
        with pytest.raises(Exception, match="lost"):
            await relayed(OtherMember("b", f"http://127.0.0.1:{port}", "", plain))


async def test_an_app_that_leaves_ends_what_another_appliance_does_for_it() -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        other = OtherMember("b", f"http://127.0.0.1:{port}", "", plain)
        assert await relayed(other, asked) == []
        await ended.wait()


@pytest.mark.parametrize("proof", ["certificate", "peer_certificate"])
async def test_what_only_a_certificate_proves_is_not_relayed(proof: str) -> None:
    server = Answers(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
    async with server.listens() as port:
        other = OtherMember("b", f"http://127.0.0.1:{port}", "", plain)
        sent = await relayed(other, state={proof: b"der"})
        assert sent[0]["status"] == 404 and server.got == b""
        assert (await relayed(other))[0]["status"] == 200  # the control
