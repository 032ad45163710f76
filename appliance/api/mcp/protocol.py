"""The protocol of `/mcp`, without its tools: one message in, one request or a refusal out. Pure.

Rules:
- Nothing is kept between messages: no session, no stream of the server's own, no batch.
- Two generations of clients are served: those that shake hands (`initialize`), and those that send
  version and capabilities with each request. Of the latter, headers and body must agree.
- A refusal has a code of the protocol; HTTP refuses a body that is no message, too.

Source: modelcontextprotocol.io, specification, streamable HTTP.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers

from appliance.api.errors import refusal_of
from appliance.text import visible
from appliance.types import JsonValue
from appliance.wire.mcp.rpc import META, RpcError, RpcId, RpcNotice, RpcReply, RpcRequest

M = TypeVar("M", bound=BaseModel)
HANDSHAKE: Final = ("2025-06-18", "2025-11-25")
"""Versions that begin with `initialize`; the last is offered to a client that asks for another."""
STATELESS: Final = "2026-07-28"
"""The version whose requests stand alone."""
VERSION_HEADER: Final = "mcp-protocol-version"
_METHOD_HEADER: Final = "mcp-method"
_NAME_HEADER: Final = "mcp-name"
_VERSION: Final = f"{META}protocolVersion"
_CAPABILITIES: Final = f"{META}clientCapabilities"
CALL: Final = "tools/call"

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
HEADER_MISMATCH: Final = -32020
UNSUPPORTED_VERSION: Final = -32022


@dataclass(eq=False)
class RpcRefused(Exception):
    """A message that is refused.

    Attributes:
        status: of HTTP.
        code: of the product, for the counters.
    """

    error: RpcError
    id: RpcId | None = None
    status: int = 400
    code: str = "invalid_value"

    def reply(self) -> RpcReply:
        return RpcReply(id=self.id, error=self.error)


@dataclass(frozen=True)
class RpcAsked:
    """A request that may be answered; `alone` if its version's requests stand alone."""

    message: RpcRequest
    alone: bool

    def refused(self, code: int, message: str, status: int) -> RpcRefused:
        """Its refusal; a client that shook hands reads the body of a 200 only."""
        error = RpcError(code=code, message=message)
        return RpcRefused(error, self.message.id, status if self.alone else 200)

    def read(self, model: type[M]) -> M:
        try:
            return model.model_validate(self.message.params)
        except ValidationError as error:
            raise self.refused(INVALID_PARAMS, named(error), 400) from error


def named(error: ValidationError) -> str:
    """The first error of a value, with the name of the field."""
    found = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
    return refusal_of(found).message


def asked(body: JsonValue, headers: Headers) -> RpcAsked | None:
    """The request in a body; None for a notice."""
    if not isinstance(body, Mapping):
        what = "The body is not one message; batches are not taken."
        raise RpcRefused(RpcError(code=INVALID_REQUEST, message=what))
    try:
        if "id" not in body:
            RpcNotice.model_validate(body)
            _versions(headers)
            return None
        message = RpcRequest.model_validate(body)
    except ValidationError as error:
        what = f"The body is not one request or notice: {named(error)}"
        raise RpcRefused(RpcError(code=INVALID_REQUEST, message=what)) from error
    if message.method == "initialize":
        return RpcAsked(message, alone=False)
    version = _versions(headers, message.id)
    meta = message.params.get("_meta")
    meta = meta if isinstance(meta, Mapping) else {}
    if version == STATELESS or _VERSION in meta:
        _check_alone(message, meta, headers)
        return RpcAsked(message, alone=True)
    return RpcAsked(message, alone=False)


def _versions(headers: Headers, of: RpcId | None = None) -> str:
    """The version that the headers name; "" for none, as from old clients."""
    given = headers.getlist(VERSION_HEADER)
    if len(given) > 1:
        raise _mismatch(f"{VERSION_HEADER} stands twice.", of)
    if not given or given[0] in (*HANDSHAKE, STATELESS):
        return given[0] if given else ""
    requested = visible(given[0], limit=64)
    data = {"supported": [*HANDSHAKE, STATELESS], "requested": requested}
    what = f"The version {requested} is not served."
    raise RpcRefused(RpcError(code=UNSUPPORTED_VERSION, message=what, data=data), of)


def _check_alone(message: RpcRequest, meta: Mapping[str, JsonValue], headers: Headers) -> None:
    if missing := [name for name in (_VERSION, _CAPABILITIES) if name not in meta]:
        what = f"params._meta has no {missing[0]}."
        raise RpcRefused(RpcError(code=INVALID_PARAMS, message=what), message.id)
    said = {VERSION_HEADER: meta[_VERSION], _METHOD_HEADER: message.method}
    if message.method == CALL and isinstance(name := message.params.get("name"), str):
        said[_NAME_HEADER] = name
    for header, value in said.items():
        if headers.getlist(header) != [value]:
            raise _mismatch(f"{header} is not what the body says.", message.id)


def _mismatch(what: str, of: RpcId | None) -> RpcRefused:
    return RpcRefused(RpcError(code=HEADER_MISMATCH, message=what), of)
