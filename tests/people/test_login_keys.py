"""Key sets: read when needed, kept for the grace, only from a file or a pinned host."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from appliance.auth.certificates import issue, server_context
from appliance.clock import SystemClock
from appliance.config import OidcConfig
from appliance.errors import ApplianceError, Unauthenticated, Unavailable
from appliance.people import login_keys
from appliance.people.login_keys import MOST_BYTES, LoginKeys
from tests.people.login import Login


class Steady:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def login(tmp_path: Path) -> Login:
    return Login(tmp_path / "keys.json")


def reader(config: OidcConfig, data: Path, steady: Steady | None = None) -> LoginKeys:
    return LoginKeys("corp", config, data, steady or Steady())


async def test_a_key_that_is_gone_counts_until_the_next_refresh(login: Login) -> None:
    steady = Steady()
    keys = reader(login.config(), login.file.parent, steady)
    first = await keys.find("k1")
    login.publish(own=False)
    steady.now += 59
    assert await keys.find("k1") is first
    steady.now += 2
    with pytest.raises(Unauthenticated, match="no such key"):
        await keys.find("k1")


async def test_the_same_bytes_leave_the_keys_as_they_are(login: Login) -> None:
    steady = Steady()
    keys = reader(login.config(), login.file.parent, steady)
    first = await keys.find("k1")
    steady.now += 61
    assert await keys.find("k1") is first


async def test_a_new_key_is_found_without_waiting_and_a_flood_of_ids_reads_nothing(
    login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady, read = Steady(), 0
    keys = reader(login.config(), login.file.parent, steady)
    fetch = keys._fetch

    def counted() -> bytes:
        nonlocal read
        read += 1
        return fetch()

    monkeypatch.setattr(keys, "_fetch", counted)
    await keys.find("k1")
    for number in range(50):
        with pytest.raises(Unauthenticated):
            await keys.find(f"../../etc/passwd{number}")
    assert read == 1
    login.more.append({**Login(login.file).key.as_dict(private=False), "kid": "k2"})
    login.publish()
    steady.now += 11
    assert (await keys.find("k2")).key_type == "EC" and read == 2


async def test_known_keys_are_good_for_the_grace_and_then_nobody_is_known(login: Login) -> None:
    steady = Steady()
    keys = reader(login.config(grace_minutes=15), login.file.parent, steady)
    first = await keys.find("k1")
    login.file.unlink()
    steady.now += 15 * 60 - 1
    assert await keys.find("k1") is first
    steady.now += 62
    with pytest.raises(Unavailable) as refused:
        await keys.find("k1")
    assert refused.value.code == "people_unavailable"
    login.publish()
    steady.now += 61
    assert (await keys.find("k1")).as_dict(private=False) == first.as_dict(private=False)


async def test_those_without_a_good_key_wait_for_the_read_of_another(
    login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady, goes_on = Steady(), threading.Event()
    keys = reader(login.config(), login.file.parent, steady)
    fetch = keys._fetch

    def held() -> bytes:
        goes_on.wait()
        return fetch()

    async def together(*kids: str) -> list[str]:
        """Without a wait for those that need none, all of them end."""
        goes_on.clear()
        asked = [asyncio.ensure_future(keys.find(kid)) for kid in kids]
        while not keys._reading.locked():
            await asyncio.sleep(0)
        at_once = [one for one in asked if one.done()]
        goes_on.set()
        await asyncio.gather(*asked)
        return [kid for kid, one in zip(kids, asked, strict=True) if one in at_once]

    monkeypatch.setattr(keys, "_fetch", held)
    monkeypatch.setattr(login_keys, "SECONDS", 60)  # however busy the machine is
    assert await together("k1", "k1") == []  # at the start
    steady.now += 60 * 60
    assert await together("k1", "k1") == []  # after a quiet hour
    login.more.append({**Login(login.file).key.as_dict(private=False), "kid": "k2"})
    login.publish()
    steady.now += 11
    assert await together("k2", "k2", "k1") == ["k1"]  # which is known


async def test_who_was_never_known_is_refused_at_once(login: Login) -> None:
    login.file.unlink()
    with pytest.raises(Unavailable):
        await reader(login.config(), login.file.parent).find("k1")


@pytest.mark.parametrize(
    "document",
    [
        b"", b"{", b"[]", b'{"keys": 7}', b'{"keys": [], "keys": []}', b"\xff\xfe",
        b'{"keys": [' + b" " * MOST_BYTES + b"]}", b"[" * 10_000,
    ],
)  # fmt: skip
async def test_garbage_is_no_key_set_and_changes_nothing(login: Login, document: bytes) -> None:
    steady = Steady()
    keys = reader(login.config(), login.file.parent, steady)
    first = await keys.find("k1")
    login.file.write_bytes(document)
    steady.now += 61
    assert await keys.find("k1") is first
    with pytest.raises(ApplianceError):
        await reader(login.config(), login.file.parent).find("k1")


Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable[[Answer], str]]:
    """A login service on loopback with a certificate of its own CA in `tls/ca.pem`."""
    issue(tmp_path / "tls", ["127.0.0.1"], SystemClock())
    servers: list[ThreadingHTTPServer] = []

    def serve(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        tls = tmp_path / "tls"
        context = server_context(tls / "server.pem", tls / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"https://127.0.0.1:{server.server_port}/jwks"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def document(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


async def test_a_pinned_host_is_asked_and_no_other_certificate_is_taken(
    login: Login, host: Callable[[Answer], str], tmp_path: Path
) -> None:
    url = host(lambda handler: document(handler, 200, login.file.read_bytes()))
    config = login.config(keys=url, ca="tls/ca.pem")
    assert (await reader(config, tmp_path).find("k1")).key_type == "EC"
    issue(tmp_path / "other", ["127.0.0.1"], SystemClock())
    with pytest.raises(Unavailable):
        await reader(login.config(keys=url, ca="other/ca.pem"), tmp_path).find("k1")


async def test_redirects_errors_floods_and_slow_answers_are_no_key_set(
    login: Login, host: Callable[[Answer], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = login.file.read_bytes()
    never = threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        document(handler, 200, b"{")
        handler.wfile.flush()
        never.wait(10)

    answers: list[Answer] = [
        lambda handler: document(handler, 302, good, Location="https://127.0.0.1:1/"),
        lambda handler: document(handler, 500, good),
        lambda handler: document(handler, 200, b" " * (MOST_BYTES + 1) + good),
        slow,
    ]
    monkeypatch.setattr(login_keys, "SECONDS", 0.3)
    for answer in answers:
        with pytest.raises(Unavailable):
            config = login.config(keys=host(answer), ca="tls/ca.pem")
            await reader(config, tmp_path).find("k1")
    never.set()


async def test_a_missing_ca_is_told_and_nobody_is_known(login: Login, tmp_path: Path) -> None:
    config = login.config(keys="https://127.0.0.1:1/jwks", ca="nowhere.pem")
    with pytest.raises(Unavailable):
        await reader(config, tmp_path).find("k1")
