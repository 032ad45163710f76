"""JSON-RPC messages: ids that every reader keeps, parameters that are an object."""

import json

import pytest
from pydantic import ValidationError

from appliance.wire.mcp.rpc import McpResult, RpcError, RpcNotice, RpcReply, RpcRequest

GOOD = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@pytest.mark.parametrize("id", [0, -1, 2**53 - 1, "", "a" * 256])
def test_an_id_is_a_short_text_or_an_exact_integer(id: object) -> None:
    assert RpcRequest.model_validate({**GOOD, "id": id}).id == id


@pytest.mark.parametrize(
    "change",
    [{"id": None}, {"id": True}, {"id": 1.5}, {"id": 2**53}, {"id": -(10**4000)}, {"id": "a" * 257},
     {"id": [1]}, {"jsonrpc": "1.0"}, {"jsonrpc": 2.0}, {"method": ""}, {"method": 5},
     {"method": "m" * 129}, {"params": [1]}, {"params": "x"}],
)  # fmt: skip
def test_what_is_no_request_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RpcRequest.model_validate({**GOOD, **change})


def test_parameters_may_be_missing_or_null() -> None:
    said: list[dict[str, object]] = [{}, {"params": None}, {"params": {}}]
    for more in said:
        assert RpcNotice.model_validate({**GOOD, **more}).params == {}


def test_a_reply_has_a_result_or_an_error_and_always_an_id() -> None:
    assert json.loads(RpcReply(id=3, result=McpResult()).encoded()) == {
        "jsonrpc": "2.0", "id": 3, "result": {},
    }  # fmt: skip
    refused = json.loads(RpcReply(id=None, error=RpcError(code=-1, message="m")).encoded())
    assert refused["id"] is None and "result" not in refused and refused["error"]["code"] == -1
