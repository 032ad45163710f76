"""TLS connections that never shake hands: few at a time, for a time, and others get in."""

import asyncio
import contextlib
import functools
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from appliance.server.connection import ConnectionLimits, Connections, LanProtocol
from appliance.server.tls_listener import TlsAcceptor
from tests.api.admin.lab import make_lab
from tests.cli.conftest import run_command
from tests.smol import until

PIECE = 65536
ELSEWHERE = ("127.0.0.2", 0)
GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@dataclass
class Server:
    port: int
    shared: Connections
    client: ssl.SSLContext
    noted: list[str]
    buffered: int = 0

    async def get(self, source: tuple[str, int] | None = None) -> bytes:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.client, local_addr=source
        )
        writer.write(GET)
        answer = await reader.read()
        writer.close()
        return answer


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    lab = make_lab(tmp_path_factory.mktemp("tls"))
    assert run_command("tls", "issue", "localhost", "127.0.0.1", data=lab.data).status == 0
    tls: Path = lab.data / "tls"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tls / "server.pem", tls / "server.key")
    return server, ssl.create_default_context(cafile=str(tls / "ca.pem"))


@contextlib.asynccontextmanager
async def serving(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], limits: ConnectionLimits, seconds: float
) -> AsyncIterator[Server]:
    noted: list[str] = []
    shared = Connections(limits, lambda _, code: noted.append(code))

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while scope["path"] == "/flood" and shared.sources:
            await send({"type": "http.response.body", "body": bytes(PIECE), "more_body": True})
            waiting = [c.transport.get_write_buffer_size() for c in connections()]
            server.buffered = max([server.buffered, *waiting])
        await send({"type": "http.response.body", "body": scope["scheme"].encode()})

    config = uvicorn.Config(
        app, http=functools.partial(LanProtocol, shared=shared), lifespan="off",  # type: ignore[arg-type]
        log_config=None, ws="none", ssl_context_factory=lambda *_: contexts[0],
    )  # fmt: skip
    config.load()
    state = uvicorn.server.ServerState()

    def connections() -> list[Any]:
        return list(state.connections)

    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        acceptor = TlsAcceptor(
            listener, contexts[0],
            lambda: LanProtocol(config=config, server_state=state, app_state={}, shared=shared),
            shared, seconds,
        )  # fmt: skip
        server = Server(listener.getsockname()[1], shared, contexts[1], noted)
        try:
            yield server
        finally:
            acceptor.close()
            await acceptor.wait_closed()


def silent(port: int, number: int) -> list[socket.socket]:
    return [socket.create_connection(("127.0.0.1", port)) for _ in range(number)]


async def flood(server: Server, number: int) -> list[socket.socket]:
    """The same, no more at once than the backlog takes, until the server has seen them all."""
    held: list[socket.socket] = []

    def seen() -> bool:
        return len(server.noted) + server.shared.handshakes.total() == len(held)

    while len(held) < number:
        held += silent(server.port, 20)
        await until(seen)
    return held


async def closed(held: list[socket.socket]) -> int:
    await asyncio.sleep(0)
    found = 0
    for connection in held:
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            found += connection.recv(1, socket.MSG_PEEK) == b""
    return found


async def test_who_shakes_hands_is_answered_and_leaves_nothing(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    async with serving(contexts, ConnectionLimits(), 15) as server:
        answer = await server.get()
        assert answer.startswith(b"HTTP/1.1 200") and b"https" in answer
        await until(lambda: not server.shared.sources and not server.shared.handshakes)
        assert server.noted == []


@pytest.mark.parametrize("number", [40, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_silent_connections_of_one_address_are_few_and_others_get_in(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], number: int
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < number + 1000:  # our ends are here
        pytest.skip(f"this user may open {hard} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    async with serving(contexts, ConnectionLimits(connections=20, per_source=5), 3600) as server:
        held = await flood(server, number)
        assert server.shared.handshakes == {"127.0.0.1": 5}
        assert server.noted == ["too_many_connections"] * (number - 5)
        assert (await server.get(ELSEWHERE)).startswith(b"HTTP/1.1 200")  # while they hold on
        with pytest.raises(OSError):  # the control: the same address does not
            await server.get()
        for connection in held:
            connection.close()
        await until(lambda: not server.shared.handshakes)
        assert (await server.get()).startswith(b"HTTP/1.1 200")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_handshakes_have_a_time_and_what_is_not_tls_has_none(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    async with serving(contexts, ConnectionLimits(), 0.2) as server:
        held = silent(server.port, 3)
        held[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
        while await closed(held[1:]) < 2:
            pass
        await until(lambda: not server.shared.handshakes)
        for connection in held:
            connection.close()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_client_that_stops_reading_is_cut_off_and_little_is_kept_for_it(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """On the loop that serves, too: each has a TLS of its own."""

    async def case() -> None:
        async with serving(contexts, ConnectionLimits(stall_seconds=0.2), 15) as server:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", server.port, ssl=server.client
            )  # nobody reads, so that it stops to receive after some 100 KiB
            writer.write(GET.replace(b"/", b"/flood", 1))
            await until(lambda: "request_timeout" in server.noted)
            await until(lambda: not server.shared.sources)
            assert PIECE <= server.buffered <= 2 * PIECE + 1024
            assert (await server.get()).startswith(b"HTTP/1.1 200")
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(case())
