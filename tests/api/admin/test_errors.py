"""The error answers of the admin app."""

import json
from pathlib import Path

import httpx
import pytest

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.errors import admin_error
from appliance.api.admin.private import serve_in_thread
from appliance.app import Services
from appliance.errors import CODES, Refused


def test_an_error_carries_the_hint_of_its_code() -> None:
    body = admin_error(Refused("wrong_state", "m is retired.", param="id"))
    assert (body.code, body.message, body.param) == ("wrong_state", "m is retired.", "id")
    assert body.hint == CODES["wrong_state"].hint


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/admin/nothing", b"", 404, "not_found"),
        ("DELETE", "/admin/status", b"", 405, "method_not_allowed"),
        ("POST", "/admin/keys", b"{", 400, "invalid_json"),
        ("POST", "/admin/keys", b"[]", 400, "invalid_json"),
        ("POST", "/admin/keys", b"{}", 400, "invalid_value"),
        ("POST", "/admin/keys", b'{"name": "a", "rmp": 1}', 400, "invalid_value"),
        ("POST", "/admin/keys", b'{"name": ' + b"[" * 50_000, 400, "invalid_json"),
        ("POST", "/admin/keys", b" " * (8 << 20) + b"{}", 413, "request_too_large"),
        ("GET", "/admin/audit/entries/x", b"", 400, "invalid_value"),
        ("GET", f"/admin/audit/entries/{1 << 63}", b"", 400, "invalid_value"),
        ("GET", "/admin/audit/entries?limit=1001", b"", 400, "invalid_value"),
        ("GET", "/admin/audit/entries?colour=red", b"", 400, "invalid_value"),
    ],
)
def test_bad_requests_have_a_status_and_a_code(
    services: Services, tmp_path: Path, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    socket = tmp_path / "s"
    headers = {"content-type": "application/json"} if body else {}
    with (
        serve_in_thread(create_admin_app(services), socket),
        httpx.Client(transport=httpx.HTTPTransport(uds=str(socket))) as client,
    ):
        answer = client.request(method, f"http://x{path}", content=body, headers=headers)
    assert (answer.status_code, json.loads(answer.content)["error"]["code"]) == (status, code)
    assert services.keys.list() == ()
