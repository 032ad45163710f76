"""The listeners of `serve`; the running server is tested in tests/cli and tests/system."""

import asyncio
import contextlib
import functools
import gc
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.app import initialise
from appliance.config import TlsConfig
from appliance.errors import UsageError
from appliance.server.connection import ConnectionLimits, Connections, LanProtocol
from appliance.server.serve import (
    SOCKET,
    _check_address,
    _is_loopback,
    _listen,
    _listen_admin,
    _QuietServer,
    _tls_server,
    serve,
    until_night,
)
from tests.parts import having
from tests.site import make_site
from tests.trust.simulator import Simulator


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("192.168.1.5", False), ("10.0.0.1", False),
        ("", False), ("example.org", False), ("localhost.example.org", False),
        ("127.0.0.1.example.org", False), ("::ffff:10.0.0.1", False), ("0", False),
    ],
)  # fmt: skip
def test_what_is_loopback(address: str, loopback: bool) -> None:
    assert _is_loopback(address) is loopback


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.5", "::", "example.invalid"])
def test_no_other_address_is_ever_listened_on(tmp_path: Path, address: str) -> None:
    initialise(tmp_path / "data", "lab")
    with pytest.raises(UsageError) as caught:
        serve(tmp_path / "data", address, 0)
    assert caught.value.code == "bind_refused"
    assert not (tmp_path / "data" / SOCKET).exists()


def test_other_requests_wait_neither_for_old_garbage_nor_for_long_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Frozen(Exception):
        pass

    def freeze() -> None:
        raise Frozen

    initialise(tmp_path / "data", "lab")
    monkeypatch.setattr(gc, "freeze", freeze)
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    try:
        with pytest.raises(Frozen):
            serve(tmp_path / "data", "127.0.0.1", 0)
        assert sys.getswitchinterval() == pytest.approx(
            0.0005
        )  # the loop waits less for other threads
    finally:
        sys.setswitchinterval(before)


def test_a_site_listens_beyond_loopback_with_tls_and_a_key_only(tmp_path: Path) -> None:
    site = make_site(tmp_path, Simulator())
    with site.services() as services:
        with pytest.raises(UsageError, match="TLS is off"):
            _check_address(services, "192.168.1.5")
        secured = having(services, config=replace(services.config, tls=TlsConfig(enabled=True)))
        with pytest.raises(UsageError, match="no key exists"):
            _check_address(secured, "192.168.1.5")
        services.keys.create("app")
        _check_address(secured, "192.168.1.5")
        with pytest.raises(UsageError, match="lab profile"):  # the same in a lab
            _check_address(having(secured, profile="lab"), "192.168.1.5")


def test_a_port_in_use_is_refused_by_its_number() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=str(port)) as caught, _listen("127.0.0.1", port):
            pass
    assert caught.value.code == "bind_refused"


def test_both_families_are_listened_on() -> None:
    with _listen("127.0.0.1", 0) as four:
        assert four.family is socket.AF_INET
    if socket.has_dualstack_ipv6():
        with _listen("::1", 0) as six:
            assert six.family is socket.AF_INET6


def test_the_admin_socket_is_for_its_group_and_gone_afterwards(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    before = os.umask(0o022)
    try:
        with _listen_admin(tmp_path):
            status = (tmp_path / SOCKET).stat()
            assert stat.S_ISSOCK(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o660
            assert os.umask(0o022) == 0o022  # put back
        assert not (tmp_path / SOCKET).exists()
    finally:
        os.umask(before)


def test_a_socket_left_by_a_crash_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / SOCKET))
    with _listen_admin(tmp_path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / SOCKET))


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    (deep / "run").mkdir(parents=True)
    with pytest.raises(UsageError, match="shorter --data"), _listen_admin(deep):
        pass


async def _reads_the_body(_scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    head = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"ok"})


def counted() -> Connections:
    return Connections(ConnectionLimits(), lambda _source, _code: None)


def plain(app: ASGIApp) -> _QuietServer:
    """A LAN server without a limit of its own on how long it waits for connections to close."""
    http: Any = functools.partial(LanProtocol, shared=counted())
    return _QuietServer(uvicorn.Config(app, http=http, lifespan="off", log_config=None))


@contextlib.asynccontextmanager
async def running(
    server: _QuietServer | None = None,
) -> AsyncIterator[tuple[_QuietServer, "asyncio.Task[None]", int]]:
    """A server on a port of loopback; by default a plain one."""
    server = server or plain(_reads_the_body)
    with _listen("127.0.0.1", 0) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0)
        yield server, task, listener.getsockname()[1]
        server.force_exit = server.should_exit = True
        await asyncio.wait([task])


@contextlib.asynccontextmanager
async def clients(port: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    async with contextlib.AsyncExitStack() as stack:
        readers = []
        for body in (b"abcd", b"a"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.push_async_callback(_close, writer)
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n" + body)
            readers.append(reader)
        assert (await readers[0].readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        yield readers


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def gone(reader: asyncio.StreamReader) -> bool:
    with contextlib.suppress(ConnectionResetError):
        return await reader.read() == b""
    return True


async def test_stopping_cuts_off_who_does_not_end_by_himself() -> None:
    async with running() as (server, task, port), clients(port) as readers:
        server.should_exit = True
        await server.finish(0.2)
        await task
        assert [await gone(reader) for reader in readers] == [True, True]


async def test_the_control_without_that_half_a_request_holds_the_server_up() -> None:
    async with running() as (server, task, port), clients(port) as (idle, _):
        server.should_exit = True
        assert await gone(idle)
        done, _pending = await asyncio.wait([task], timeout=0.5)
        assert not done


@pytest.mark.parametrize(
    ("made", "client"),
    [
        (lambda app: _tls_server(app, counted(), None, 5), ("127.0.0.1", "http")),
        (plain, ("10.1.2.3", "https")),  # the control
    ],
)
async def test_no_header_names_another_address_than_the_clients(
    made: Callable[[ASGIApp], _QuietServer], client: tuple[str, str]
) -> None:
    seen = []

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["client"][0], scope["scheme"]))
        await _reads_the_body(scope, receive, send)

    async with running(made(told)) as (_, _, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        headers = b"Host: x\r\nX-Forwarded-For: 10.1.2.3\r\nX-Forwarded-Proto: https\r\n"
        writer.write(b"GET / HTTP/1.1\r\n" + headers + b"\r\n")
        await reader.readuntil(b"ok")
        await _close(writer)
    assert seen == [client]


def test_the_night_is_always_ahead() -> None:
    hour = 3_600_000_000
    assert until_night(0) == 3 * 3600
    assert until_night(4 * hour) == 23 * 3600
    assert until_night(3 * hour - 1) == 1e-6
    assert until_night(3 * hour) == 24 * 3600  # one night has one sample
