"""The typed client against servers that behave and servers that do not."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response

from appliance.api.admin.private import serve_in_thread
from appliance.client import AdminClient, socket_path
from appliance.errors import ApplianceError, Refused, ServerUnreachable, Unavailable
from appliance.wire.admin import models as wire
from appliance.wire.admin.keys import KEY_CREATE, KEY_REVOKE, KeyCreate
from appliance.wire.admin.models import VerifyRange
from tests.api.admin.lab import approve_model, import_model

STATUS: dict[str, Any] = {
    "version": "9", "profile": "lab", "state": "idle", "role": "viewer", "data": "/d",
    "uptime_seconds": 1, "models": [], "workers": [],
    "audit": {"entries": 1, "root": "00", "latched": None},
    "host": {
        "cpu": "c", "cores": 1, "memory": 1, "memory_available": 1, "kernel": "6", "seccomp": True,
        "landlock_abi": 1, "disk_free": 1,
    },
    "alarms": [],
}  # fmt: skip
ERROR = {"error": {"message": "m is retired.", "type": "t", "param": "id", "code": "wrong_state"}}


@contextlib.contextmanager
def server(
    at: Path, status: int, body: str | bytes, seen: list[str] | None = None
) -> Iterator[AdminClient]:
    app = FastAPI(openapi_url=None)

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def answer(request: Request) -> Response:
        if seen is not None:
            seen.append(f"{request.method} {request.url.path}")
        return Response(body, status, media_type="application/json")

    with serve_in_thread(app, at / "s"), AdminClient(at / "s") as client:
        yield client


def error_of(call: Callable[[], object], kind: type[ApplianceError] = Refused) -> ApplianceError:
    with pytest.raises(kind) as caught:
        call()
    return caught.value


def report(_phase: str, _done: int, _total: int) -> None:
    pass


def test_an_answer_of_a_newer_server_is_read(tmp_path: Path) -> None:
    body = json.dumps({**STATUS, "moon": "full", "host": {**STATUS["host"], "gpus": 1}})
    with server(tmp_path, 200, body) as client:
        assert client.call(wire.STATUS).version == "9"


def test_a_refusal_keeps_code_message_and_param(tmp_path: Path) -> None:
    with server(tmp_path, 409, json.dumps(ERROR)) as client:
        error = error_of(lambda: client.call(wire.STATUS))
    assert (error.code, error.message, error.param) == ("wrong_state", "m is retired.", "id")
    assert error.hint


def test_what_the_server_cannot_do_is_no_refusal(tmp_path: Path) -> None:
    body = {"error": {**ERROR["error"], "code": "audit_unavailable"}}
    with server(tmp_path, 503, json.dumps(body)) as client:
        assert error_of(lambda: client.call(wire.STATUS), Unavailable).code == "audit_unavailable"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>"),
        (200, b"{}"),
        (200, b"[1"),
        (200, b"[" * 100_000),
        (200, b"\xff"),
        (500, b"Internal Server Error"),
        (409, b'{"error": "no"}'),
        (409, json.dumps({"error": {"message": "new", "code": "code_of_the_future"}}).encode()),
    ],
)
def test_an_answer_that_cannot_be_read_is_said_to_be_one(
    tmp_path: Path, status: int, body: bytes
) -> None:
    with server(tmp_path, status, body) as client:
        assert error_of(lambda: client.call(wire.STATUS), Unavailable).code == "incompatible_server"
        verify = error_of(
            lambda: client.call(wire.AUDIT_VERIFY, VerifyRange(), report=report), Unavailable
        )
        assert verify.code == "incompatible_server"


def test_a_stream_that_ends_too_early_is_not_a_result(tmp_path: Path) -> None:
    line = json.dumps({"progress": {"phase": "copying", "done": 1, "total": 2}})
    with server(tmp_path, 200, line + "\n") as client:
        error = error_of(lambda: import_model(client, tmp_path, "x"), ServerUnreachable)
    assert error.code == "server_unreachable"


def test_nobody_listens(tmp_path: Path) -> None:
    with AdminClient(tmp_path / "none") as client:
        assert (
            error_of(lambda: client.call(wire.STATUS), ServerUnreachable).code
            == "server_unreachable"
        )
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "stale"))
    with AdminClient(tmp_path / "stale") as client:
        assert (
            error_of(lambda: client.call(wire.STATUS), ServerUnreachable).code
            == "server_unreachable"
        )


def test_a_server_that_does_not_answer_in_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with AdminClient(tmp_path / "s", answer_seconds=0.05) as client:
            assert (
                error_of(lambda: client.call(wire.STATUS), ServerUnreachable).code
                == "server_unreachable"
            )


def test_a_change_is_sent_once_even_when_its_answer_is_lost(tmp_path: Path) -> None:
    requests: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        requests.append(connection.recv(65_536))

        thread = threading.Thread(target=hang_up)
        thread.start()
        with AdminClient(tmp_path / "s") as client:
            error = error_of(
                lambda: client.call(KEY_CREATE, KeyCreate(name="app")), ServerUnreachable
            )
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert error.code == "server_unreachable"
    assert [request.split(b" ")[0] for request in requests if request] == [b"POST"]


@pytest.mark.parametrize("bad", ["../keys", "..", "a/b", "a?b", "a#b", "%2e%2e", "", "é", "x" * 65])
def test_an_id_never_reaches_another_address(tmp_path: Path, bad: str) -> None:
    seen: list[str] = []
    with server(tmp_path, 200, "{}", seen) as client:
        assert error_of(lambda: client.call(wire.MODEL, model_id=bad)).code == "unknown_model_id"
        assert (
            error_of(lambda: client.call(wire.MODEL_RETIRE, wire.Reason.of(), model_id=bad)).code
            == "unknown_model_id"
        )
        assert error_of(lambda: client.call(KEY_REVOKE, key_id=bad)).code == "unknown_key_id"
    assert seen == []


def test_an_envelope_that_is_no_text_is_refused_here(tmp_path: Path) -> None:
    with server(tmp_path, 200, "{}") as client:
        assert error_of(lambda: approve_model(client, "m", b"\xff")).code == "approval_malformed"


def test_where_a_data_directory_has_its_socket() -> None:
    assert socket_path(Path("/d")) == Path("/d/run/admin.sock")


def test_a_connection_that_fails_leaves_no_socket_open(tmp_path: Path) -> None:
    """A warning about it would fail whichever test ran when the collector came."""
    with socket.socket(socket.AF_UNIX) as deaf, AdminClient(tmp_path / "s") as client:
        deaf.bind(str(tmp_path / "s"))
        opened = len([*Path("/proc/self/fd").iterdir()])
        error = error_of(lambda: client.call(wire.STATUS), ServerUnreachable)
        assert error.__cause__ and len([*Path("/proc/self/fd").iterdir()]) == opened
