"""One connection for one request: no answer reaches another request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import pytest
import uvloop

from appliance.config import UpstreamConfig
from appliance.errors import ApplianceError
from appliance.routing.upstreams.connection import Connection
from tests.routing.upstreams.site import CONNECT_MS

HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
WHOLE: Final = HEAD + b"content-length: 2\r\n\r\nhi"
OTHER: Final = HEAD + b"content-length: 6\r\n\r\ncanary"
Answers = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def host(answers: Answers) -> AsyncIterator[Connection]:
    open_ones: list[asyncio.Task[None]] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            open_ones.append(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                await answers(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/root/"
    try:
        yield Connection(url, UpstreamConfig(connect_ms=CONNECT_MS, idle_seconds=5), None, "")
    finally:
        server.close()
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)


async def request_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    (length,) = (line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    return head + await reader.readexactly(int(length.split()[1]))


async def asked(connection: Connection, body: bytes = b"{}") -> bytes:
    async with connection.stream("/v1/x", body, "call") as parts:
        return b"".join([part async for part in parts])


async def code_of(connection: Connection, body: bytes = b"{}") -> str:
    with pytest.raises(ApplianceError) as caught:
        async with asyncio.timeout(20):
            await asked(connection, body)
    return caught.value.code


def told(*parts: bytes) -> Answers:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()

    return answers


async def test_a_second_answer_behind_the_first_is_nobodys() -> None:
    seen: list[bytes] = []

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request_of(reader))
        writer.write(WHOLE + OTHER if len(seen) == 1 else WHOLE)

    async with host(answers) as connection:
        assert await code_of(connection) == "upstream_invalid"
        assert await asked(connection) == b"hi"
    assert len(seen) == 2 and seen[0].startswith(b"POST /root/v1/x HTTP/1.1\r\n")
    assert b"connection: close\r\n" in seen[0]


async def test_no_connection_carries_two_requests() -> None:
    """Bytes written late: behind whole answers, half ones, and abandoned ones."""
    connections = 0
    half, late = asyncio.Event(), asyncio.Event()

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await request_of(reader)
        if connections == 2:
            writer.write(HEAD + b"content-length: 9\r\n\r\nhalf")
            half.set()
            await late.wait()
            writer.write(b"canary" + OTHER)
        else:
            writer.write(WHOLE)
            await writer.drain()
            if connections == 1:
                await late.wait()
                writer.write(OTHER)

    async with host(answers) as connection:
        assert await asked(connection) == b"hi"
        abandoned = asyncio.create_task(asked(connection))
        await half.wait()
        abandoned.cancel()
        with pytest.raises(asyncio.CancelledError):
            await abandoned
        late.set()
        assert await asked(connection) == b"hi"
    assert connections == 3


async def test_an_answer_before_the_request_was_sent_is_none() -> None:
    async def answers(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WHOLE)
        await writer.drain()
        await asyncio.sleep(30)

    async with host(answers) as connection:
        large = b"x" * (64 << 20)  # the host does not read it
        assert await code_of(connection, large) == "upstream_invalid"


async def test_a_refusal_before_the_request_was_sent_is_one() -> None:
    async def answers(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")
        await writer.drain()
        await asyncio.sleep(30)

    async with host(answers) as connection:
        assert await code_of(connection, b"x" * (64 << 20)) == "upstream_rejected"


CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED: Final = HEAD + b"transfer-encoding: chunked\r\n\r\n"
TOLD = {
    "length": (WHOLE, b"hi"),
    "chunks": (CHUNKED + b"1\r\nh\r\n1;a=b\r\ni\r\n0\r\nx-trailer: 1\r\n\r\n", b"hi"),
    "to the end": (HEAD + b"\r\nhi", b"hi"),
    "informational": (CONTINUE + b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\n" + WHOLE, b"hi"),
    "half": (HEAD + b"content-length: 3\r\n\r\nhi", "upstream_lost"),
    "half chunks": (CHUNKED + b"2\r\nhi\r\n", "upstream_lost"),
    "nothing": (b"", "upstream_lost"),
    "half a head": (HEAD, "upstream_lost"),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", "upstream_invalid"),
    "upgrade": (
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n" + WHOLE,
        "upstream_invalid",
    ),
    "two lengths": (HEAD + b"content-length: 2\r\ncontent-length: 6\r\n\r\nhi", "upstream_invalid"),
    "length and chunks": (
        HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\nhi",
        "upstream_invalid",
    ),
    "30 digits": (HEAD + b"content-length: " + b"9" * 30 + b"\r\n\r\nhi", "upstream_invalid"),
    "gzip": (HEAD + b"transfer-encoding: gzip\r\n\r\nhi", "upstream_invalid"),
    "gzip, chunked": (
        HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n1\r\nh\r\n0\r\n\r\n",
        "upstream_invalid",
    ),
    "many informational": (CONTINUE * 100 + WHOLE, "upstream_invalid"),
    "flood of headers": (HEAD + b"x: y\r\n" * 50_000 + b"\r\n", "upstream_invalid"),
    "endless header": (HEAD + b"x: " + b"y" * 500_000, "upstream_invalid"),
    "endless trailer": (CHUNKED + b"2\r\nhi\r\n0\r\nx: " + b"y" * 500_000, "upstream_invalid"),
    "endless extension": (CHUNKED + b"2;" + b"y" * 500_000, "upstream_invalid"),
    "endless size": (CHUNKED + b"0" * 500_000, "upstream_invalid"),
    "garbage behind": (WHOLE + b"canary", "upstream_invalid"),
    "twice in chunks": (CHUNKED + b"2\r\nhi\r\n0\r\n\r\n" + OTHER, "upstream_invalid"),
}  # fmt: skip


@pytest.mark.parametrize("case", TOLD)
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_bytes_of_an_answer(case: str, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    data, wanted = TOLD[case]

    async def look() -> None:
        async with host(told(data)) as connection:
            if isinstance(wanted, bytes):
                assert await asked(connection) == wanted
            else:
                assert await code_of(connection) == wanted

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(look())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_reading_pauses_while_nobody_takes_the_bytes(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """The host can send only little of 256 MiB until they are taken; then all come."""
    size, sent = 256 << 20, 0

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request_of(reader)
        writer.write(HEAD + b"content-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(bytes(1 << 20))
            sent += 1 << 20
            await writer.drain()

    async def look() -> None:
        async with host(answers) as connection, connection.stream("/", b"{}", "call") as parts:
            got = len(await anext(parts))
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.1)
            assert sent < 64 << 20
            async for part in parts:
                assert len(part) <= 64 << 10
                got += len(part)
            assert got == size

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(look())
