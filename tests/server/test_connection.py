"""Connections on a real socket: slow, greedy, ambiguous and silent clients."""

import asyncio
import contextlib
import functools
import json
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from appliance.server.connection import (
    _TOGETHER,
    ConnectionLimits,
    Connections,
    LanProtocol,
    _Corked,
)
from tests.conftest import need_tool
from tests.smol import until

PIECE = 65536
TOO_MUCH = 100 * PIECE
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
QUICK = ConnectionLimits(
    connections=8, per_source=4, head_bytes=2048, head_seconds=0.2, body_seconds=0.2,
    stall_seconds=0.2,
)  # fmt: skip


@dataclass
class Server:
    """A listener whose app answers at once, or with more than anybody reads."""

    port: int
    shared: Connections
    noted: list[tuple[str, str]]
    counted: list[int]
    requests: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    buffered: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, data: bytes) -> bytes:
        reader, writer = await self.open()
        try:
            with contextlib.suppress(ConnectionError):
                writer.write(data)
                await writer.drain()
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(20):
                    return await reader.read()
            return b""
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def code_of(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head and b"connection: close" in head
    found: dict[str, Any] = json.loads(body)["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return int(head.split()[1]), str(found["code"])


class Careless(LanProtocol):
    def pause_writing(self) -> None:
        """Nothing of it."""


@contextlib.asynccontextmanager
async def serving(
    limits: ConnectionLimits, protocol: type[LanProtocol] = LanProtocol
) -> AsyncIterator[Server]:
    noted: list[tuple[str, str]] = []
    counted: list[int] = []
    shared = Connections(limits, lambda source, code: noted.append((source, code)), counted.append)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        server.requests.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while scope["path"] == "/flood" and server.shared.sources.total():
                await asyncio.sleep(0)
                await send({"type": "http.response.body", "body": bytes(PIECE), "more_body": True})
                waiting = [c.transport.get_write_buffer_size() for c in connections()]
                server.buffered = max([server.buffered, *waiting])
                if server.buffered > TOO_MUCH:
                    return
            more, body = scope["method"] == "POST", b""
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message["type"] == "http.request" and message.get("more_body", False)
            server.bodies.append(body)
            if scope["path"] == "/pieces":
                await send({"type": "http.response.body", "body": b"one,", "more_body": True})
                await send({"type": "http.response.body", "body": b"two,", "more_body": True})
            await send({"type": "http.response.body", "body": b"ok"})
        finally:
            server.ended.set()

    config = uvicorn.Config(
        app, http=functools.partial(protocol, shared=shared), lifespan="off",  # type: ignore[arg-type]
        log_config=None, ws="none", timeout_graceful_shutdown=1,
    )  # fmt: skip
    running = uvicorn.Server(config)

    def connections() -> list[Any]:
        return list(running.server_state.connections)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(listener.getsockname()[1], shared, noted, counted)
        task = asyncio.create_task(running._serve(sockets=[listener]))
        await until(lambda: running.started)
        try:
            yield server
        finally:
            running.should_exit = True
            await task


SMUGGLED = b"GET /admin HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
AMBIGUOUS = {
    "two lengths": POST + b"Content-Length: 4\r\nContent-Length: 0\r\n\r\nabcd",
    "the same length twice": POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "length and chunks": POST + b"Content-Length: 4\r\n"
    + CHUNKED + b"\r\n0\r\n\r\n" + SMUGGLED,
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\n"
    + b"Content-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "another coding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding twice": POST + b"Transfer-Encoding: chunked\r\n"
    + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "space before the colon": POST + b"Content-Length : 4\r\n\r\nabcd",
    "signed length": POST + b"Content-Length: +4\r\n\r\nabcd",
    "a bare line feed in a name": b"GET / HTTP/1.1\r\nHo\nst: x\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "two hosts to 1.0": b"GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n",
    "an offer with a folded line": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n"
    + b"Upgrade: h2c\r\nX: a\r\n Content-Length: 4\r\n\r\n",
    "an offer with a length and chunks": POST + b"Connection: upgrade\r\nUpgrade: h2c\r\n"
    + b"Content-Length: 4\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + SMUGGLED,
    "a tunnel": b"CONNECT a.example:1 HTTP/1.1\r\nHost: a.example:1\r\n\r\n",
    "not HTTP": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    "an older tongue": b"GET / HTTP/0.9\r\n\r\n",
    "a method that is none": b"G\x00T / HTTP/1.1\r\nHost: x\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_what_can_be_read_in_two_ways_is_refused_in_our_shape(data: bytes) -> None:
    async with serving(QUICK) as server:
        answer = await server.say(data)
        status, code = code_of(answer[answer.rfind(b"HTTP/1.1 4") :])
        assert (status, code) == (400, "malformed_http")
        assert "/admin" not in server.requests
        assert ("127.0.0.1", "malformed_http") in server.noted


async def test_a_chunk_size_that_is_none_ends_the_connection() -> None:
    """The answer may be under way, so nothing is written into it."""
    async with serving(QUICK) as server:
        await server.say(POST + CHUNKED + b"\r\nzz\r\n" + SMUGGLED)
        await server.ended.wait()
        assert server.requests == ["/"]
        assert ("127.0.0.1", "malformed_http") in server.noted


async def test_a_folded_line_is_refused_or_harmless() -> None:
    async with serving(QUICK) as server:
        answer = await server.say(b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n")
        assert code_of(answer) == (400, "malformed_http")
        assert server.requests == []


class _Recorded(asyncio.Transport):
    """What was written, call by call; "closed" where it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes] = []

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.calls.append(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return b"closed" in self.calls

    def close(self) -> None:
        self.calls.append(b"closed")


async def test_the_pieces_of_one_turn_are_one_write() -> None:
    transport = _Recorded()
    corked = _Corked(transport, asyncio.get_running_loop())
    corked.write(b"head,")
    corked.write(b"body")
    assert transport.calls == []
    await asyncio.sleep(0)
    corked.write(b"next")
    await asyncio.sleep(0)
    assert transport.calls == [b"head,body", b"next"]


async def test_much_leaves_at_once_and_in_its_order() -> None:
    transport = _Recorded()
    corked = _Corked(transport, asyncio.get_running_loop())
    for piece in (b"first,", bytes(_TOGETHER), b"last"):
        corked.write(piece)
    assert transport.calls == [b"first," + bytes(_TOGETHER)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert transport.calls[1:] == [b"last"]


async def test_what_was_written_leaves_before_the_end_and_nothing_after_it() -> None:
    transport = _Recorded()
    corked = _Corked(transport, asyncio.get_running_loop())
    corked.write(b"answer")
    corked.close()
    corked.write(b"late")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert transport.calls == [b"answer", b"closed"]


async def test_plain_requests_pass_and_share_a_connection() -> None:
    async with serving(QUICK) as server:
        post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd"
        last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        answer = await server.say(post + GET + last)
        assert answer.count(b"HTTP/1.1 200") == 3
        assert server.noted == []
        await until(lambda: server.shared.sources == Counter())
        assert server.counted == [1, 0]  # for the metrics


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nX: " + b"a" * 4000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 4000,  # it never ends
        b"GET /" + b"a" * 4000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"a%d: b\r\n" % n for n in range(101)) + b"\r\n",
    ],
)
async def test_a_long_head_is_refused(head: bytes) -> None:
    async with serving(QUICK) as server:
        assert code_of(await server.say(head)) == (431, "headers_too_large")
        assert server.requests == []


@pytest.mark.parametrize("data", [b"", b"GET / HT"])
async def test_a_head_that_never_comes_ends_the_connection(data: bytes) -> None:
    async with serving(QUICK) as server:
        assert code_of(await server.say(data)) == (408, "request_timeout")


async def test_a_body_that_never_comes_ends_the_connection() -> None:
    async with serving(QUICK) as server:
        post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab"
        await server.say(post)
        await server.ended.wait()
        assert ("127.0.0.1", "request_timeout") in server.noted


async def deaf(server: Server) -> asyncio.StreamWriter:
    _, writer = await server.open()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(GET.replace(b"GET /", b"GET /flood"))
    await until(lambda: "/flood" in server.requests)
    return writer


async def test_a_client_that_stops_reading_is_cut_off_and_others_are_not() -> None:
    async with serving(QUICK) as server:
        writer = await deaf(server)
        last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        assert b"200" in await server.say(last)
        await until(lambda: ("127.0.0.1", "request_timeout") in server.noted)
        await until(lambda: server.shared.sources == Counter())
        # What was kept for it: up to the mark at which writing pauses, and one piece.
        assert PIECE <= server.buffered <= 2 * PIECE + 1024
        writer.transport.abort()


async def test_the_control_without_pauses_everything_is_kept_for_it() -> None:
    async with serving(QUICK, Careless) as server:
        writer = await deaf(server)
        await server.ended.wait()
        assert server.buffered > TOO_MUCH
        writer.transport.abort()


async def test_one_address_cannot_take_all_connections() -> None:
    roomy = ConnectionLimits(connections=100, per_source=4, head_seconds=30)
    async with serving(roomy) as server:
        held = [await server.open() for _ in range(4)]
        await until(lambda: server.shared.sources.total() == 4)
        assert code_of(await server.say(GET)) == (429, "too_many_connections")
        held[0][1].close()
        await until(lambda: server.shared.sources.total() == 3)
        last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        assert b"200" in await server.say(last)
        for _, writer in held[1:]:
            writer.close()


async def hold(server: Server, number: int) -> list[asyncio.StreamWriter]:
    held = []
    for _ in range(number):
        with contextlib.suppress(ConnectionError):
            held.append((await server.open())[1])
    return held


@pytest.mark.parametrize("number", [400, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_half_open_connections_end_and_leave_room_for_others(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < number + 1000:  # our ends are here, and those that were let in
        pytest.skip(f"this user may open {hard} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limits = ConnectionLimits(connections=300, per_source=200, head_seconds=0.5)
    try:
        async with serving(limits) as server:
            held = await hold(server, number)
            assert server.shared.sources.total() <= 200
            await until(lambda: server.shared.sources == Counter())  # their time is over
            last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            assert b"200" in await server.say(last)
            for writer in held:
                writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


OFFERS = [
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    b"Upgrade: h2c\r\nHTTP2-Settings: AA\r\nConnection: keep-alive, HTTP2-Settings, upgrade\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
]


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("pieces", [1, 7, 1000])
async def test_an_offer_of_another_protocol_is_declined_and_the_body_is_read(
    offer: bytes, pieces: int
) -> None:
    """As curl --http2 and Java's client send it."""
    async with serving(ConnectionLimits()) as server:
        head = b"POST /%b HTTP/1.1\r\nHost: x\r\n" + offer
        sent = head % b"1" + b"Content-Length: 4\r\n\r\nabcd"
        sent += head % b"2" + CHUNKED + b"\r\n2\r\nef\r\n2\r\ngh\r\n0\r\n\r\n"
        sent += b"GET /3 HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n"
        sent += GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        reader, writer = await server.open()
        step = -(-len(sent) // pieces)
        for begin in range(0, len(sent), step):
            writer.write(sent[begin : begin + step])
            await writer.drain()
            await asyncio.sleep(0)
        answer = await reader.read()
        writer.close()
        assert answer.count(b"HTTP/1.1 200") == 4, answer
        assert server.requests == ["/1", "/2", "/3", "/"]
        assert server.bodies == [b"abcd", b"efgh", b"", b""]
        assert server.noted == []


async def test_an_offer_does_not_make_a_head_longer_than_it_may_be() -> None:
    async with serving(QUICK) as server:
        head = GET[:-2] + OFFERS[0] + b"X: " + b"a" * 4000 + b"\r\n\r\n"
        assert code_of(await server.say(head)) == (431, "headers_too_large")
        assert server.requests == []


@pytest.mark.parametrize("kept", [b"", b"Connection: keep-alive\r\n"])
async def test_to_http_1_0_nothing_is_chunked(kept: bytes) -> None:
    async with serving(QUICK) as server:
        head, _, body = (await server.say(b"GET /pieces HTTP/1.0\r\n" + kept + b"\r\n")).partition(
            b"\r\n\r\n"
        )
        assert body == b"one,two,ok"
        assert b"transfer-encoding" not in head and b"connection: close" in head
        chunked = await server.say(b"GET /pieces HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"transfer-encoding: chunked" in chunked and chunked.endswith(b"0\r\n\r\n")


async def test_curl_with_an_offer_of_http_2_is_answered() -> None:
    curl = need_tool("curl")
    async with serving(ConnectionLimits()) as server:
        address = f"http://127.0.0.1:{server.port}/curl"
        process = await asyncio.create_subprocess_exec(
            curl, "-sS", "--http2", "--max-time", "60", "-d", "a body", address,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, wrong = await process.communicate()
        assert (process.returncode, said) == (0, b"ok"), wrong
        assert server.bodies == [b"a body"]
