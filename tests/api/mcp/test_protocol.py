"""Messages of both generations of clients, and what is none."""

import pytest
from starlette.datastructures import Headers

from appliance.api.mcp.protocol import (
    HANDSHAKE,
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    STATELESS,
    UNSUPPORTED_VERSION,
    RpcRefused,
    asked,
)
from appliance.types import JsonValue

META: JsonValue = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientCapabilities": {},
}
PING: dict[str, JsonValue] = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
CALL: dict[str, JsonValue] = {
    "jsonrpc": "2.0", "id": "x", "method": "tools/call",
    "params": {"name": "ask", "_meta": META},
}  # fmt: skip
ALONE = {"mcp-protocol-version": STATELESS, "mcp-method": "tools/call", "mcp-name": "ask"}


def refused(body: JsonValue, headers: dict[str, str] | Headers) -> RpcRefused:
    with pytest.raises(RpcRefused) as caught:
        asked(body, headers if isinstance(headers, Headers) else Headers(headers))
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize("version", [*HANDSHAKE, None])
def test_a_client_that_shook_hands_names_its_version_or_none(version: str | None) -> None:
    headers = {} if version is None else {"mcp-protocol-version": version}
    found = asked(PING, Headers(headers))
    assert found is not None and not found.alone


def test_a_request_that_stands_alone_agrees_with_its_headers() -> None:
    found = asked(CALL, Headers(ALONE))
    assert found is not None and found.alone and found.message.id == "x"


@pytest.mark.parametrize("name", sorted(ALONE))
@pytest.mark.parametrize("value", [None, "2025-11-25", "another"])
def test_headers_at_odds_with_the_body_are_refused(name: str, value: str | None) -> None:
    headers = {k: v for k, v in ALONE.items() if k != name} | ({name: value} if value else {})
    code = refused(CALL, headers).error.code
    unknown = name == "mcp-protocol-version" and value == "another"
    assert code == (UNSUPPORTED_VERSION if unknown else HEADER_MISMATCH)
    twice = Headers(raw=[(k.encode(), v.encode()) for k, v in [*ALONE.items(), (name, "ask")]])
    assert refused(CALL, twice).error.code == HEADER_MISMATCH


@pytest.mark.parametrize("meta", [None, [], {}, {"io.modelcontextprotocol/protocolVersion": 5}])
def test_a_request_that_stands_alone_brings_what_it_needs(meta: JsonValue) -> None:
    found = refused({**CALL, "params": {"name": "ask", "_meta": meta}}, ALONE)
    assert (found.error.code, found.id) == (INVALID_PARAMS, "x")


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "", "x" * 5_000, "é"])
def test_a_version_that_is_not_served_is_told_which_are(version: str) -> None:
    found = refused(PING, {"mcp-protocol-version": version})
    assert found.error.code == UNSUPPORTED_VERSION and found.error.data is not None
    assert found.error.data["supported"] == [*HANDSHAKE, STATELESS]
    assert len(found.error.data["requested"]) < 100
    notice: dict[str, JsonValue] = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert refused(notice, {"mcp-protocol-version": version}).id is None
    assert asked(notice, Headers()) is None


@pytest.mark.parametrize(
    "body",
    [[], [PING], [PING] * 100_000, 5, "ping", None, {}, {"jsonrpc": "2.0", "id": 1, "result": {}},
     {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": ""}}, {**PING, "id": None}],
)  # fmt: skip
def test_what_is_no_message_is_refused_without_an_id(body: JsonValue) -> None:
    found = refused(body, {})
    assert (found.error.code, found.id) == (INVALID_REQUEST, None)
