"""JSON-RPC 2.0 as the Model Context Protocol uses it: requests, notices, answers.

Rules: one message a body; an id is a short text or an integer that every JSON reader keeps exactly;
parameters are an object.

Source: modelcontextprotocol.io, specification 2025-06-18, 2025-11-25 and 2026-07-28.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny

META: Final = "io.modelcontextprotocol/"
"""Prefix of the protocol's own names in `_meta`."""
_EXACT: Final = 2**53 - 1
RpcId = Annotated[int, Field(ge=-_EXACT, le=_EXACT)] | Annotated[str, Field(max_length=256)]
Params = Annotated[dict[str, Any], BeforeValidator(lambda value: {} if value is None else value)]


class RpcNotice(BaseModel):
    """A message that wants no answer."""

    model_config = ConfigDict(strict=True, extra="ignore")

    jsonrpc: Literal["2.0"]
    method: str = Field(min_length=1, max_length=128)
    params: Params = {}


class RpcRequest(RpcNotice):
    """A message that wants an answer."""

    id: RpcId


class Handshake(BaseModel):
    """The parameters of `initialize` that matter here."""

    model_config = ConfigDict(strict=True, extra="ignore")

    protocolVersion: str = Field(max_length=64)  # noqa: N815


class ToolCalled(BaseModel):
    """The parameters of `tools/call`."""

    model_config = ConfigDict(strict=True, extra="ignore")

    name: str = Field(max_length=128)
    arguments: Params = {}


class McpServerInfo(BaseModel):
    """The program that answers."""

    name: str
    version: str


class McpResult(BaseModel):
    """A result; as it is, that of `ping`.

    `resultType`, `ttlMs` and `cacheScope` are of requests that stand alone.
    """

    meta: dict[str, Any] | None = Field(default=None, serialization_alias="_meta")
    resultType: str | None = None  # noqa: N815
    ttlMs: int | None = None  # noqa: N815
    cacheScope: str | None = None  # noqa: N815


class McpOffered(McpResult):
    """The result of `initialize` and of `server/discover`."""

    capabilities: dict[str, Any]
    instructions: str
    protocolVersion: str | None = None  # noqa: N815
    serverInfo: McpServerInfo | None = None  # noqa: N815
    supportedVersions: list[str] | None = None  # noqa: N815


class ToolListed(BaseModel):
    """A tool as a key is offered it."""

    name: str
    description: str
    inputSchema: dict[str, Any]  # noqa: N815
    outputSchema: dict[str, Any]  # noqa: N815
    annotations: dict[str, bool]


class McpTools(McpResult):
    """The result of `tools/list`."""

    tools: list[ToolListed]


class ToolText(BaseModel):
    """A part of a result, for models to read."""

    type: Literal["text"] = "text"
    text: str


class ToolResult(McpResult):
    """The result of `tools/call`."""

    content: list[ToolText]
    structuredContent: SerializeAsAny[BaseModel] | None = None  # noqa: N815
    isError: bool  # noqa: N815


class RpcError(BaseModel):
    """A message that could not be taken."""

    code: int
    message: str
    data: dict[str, Any] | None = None


class RpcReply(BaseModel):
    """The answer to a request; it has a result or an error."""

    jsonrpc: Literal["2.0"] = "2.0"
    id: RpcId | None
    result: SerializeAsAny[McpResult] | None = None
    error: RpcError | None = None

    def encoded(self) -> bytes:
        """The id is told even where there is none, and a tool's result whole."""
        told = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        told["id"] = self.id
        if isinstance(self.result, ToolResult) and self.result.structuredContent is not None:
            told["result"]["structuredContent"] = self.result.structuredContent.model_dump(
                mode="json"
            )
        return msgspec.json.encode(told)
