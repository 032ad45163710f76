"""`POST /mcp`: the Model Context Protocol over streamable HTTP, one answer a message.

Rules: a page of a browser may call only from an origin of `server.cors_origins` (DNS rebinding). A
tool's failure is in the result, where the calling model reads it; logs, metrics and counts have the
status that the HTTP API would have given. There is no stream to `GET` and no session to `DELETE`.
"""

from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

import appliance
from appliance.api.deps import CallerDep, services_of
from appliance.api.described import IN_MCP
from appliance.api.errors import error_body, seconds_to_wait, status_of
from appliance.api.json_body import JsonRoute, note_model
from appliance.api.mcp import protocol
from appliance.api.mcp.tools import TOOLS
from appliance.api.openai.pooled import WhenComputed
from appliance.errors import CODES, ApplianceError, BadRequest, Forbidden
from appliance.types import Caller
from appliance.wire.mcp import rpc

router = APIRouter(tags=["mcp"], route_class=JsonRoute)
_SERVER: Final = rpc.McpServerInfo(name="appliance", version=appliance.__version__)
_OFFERED: Final = rpc.McpOffered(
    capabilities={"tools": {}},
    instructions="Tasks and collections of this site, with a receipt for each answer. Cite "
    "passages by document and place; keep request_id and receipt as evidence.",
)
_CACHED: Final = {"ttlMs": 0, "cacheScope": "private"}
_BODY: Final = {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}}


@router.post("/mcp", response_model=None, openapi_extra=_BODY, responses=IN_MCP)
async def mcp(request: Request, caller: CallerDep) -> Response:
    """Take one message of the Model Context Protocol."""
    origin = request.headers.get("origin")
    if origin is not None and origin not in services_of(request).config.server.cors_origins:
        raise Forbidden("forbidden", "Pages of this origin may not call; see server.cors_origins.")
    try:
        message = protocol.asked(await _body(request), request.headers)
    except protocol.RpcRefused as refused:
        return _refusal(request, refused)
    if message is None or message.message.method != protocol.CALL:
        request.scope["state"]["polled"] = "mcp"
    if message is None:
        return Response(status_code=202)
    return WhenComputed(partial(_answered, request, caller, message))


async def _body(request: Request) -> Any:
    """The body's value. Raises RpcRefused where it is no JSON."""
    try:
        return await request.json()
    except BadRequest as error:
        told = rpc.RpcError(code=protocol.PARSE_ERROR, message=error.message)
        raise protocol.RpcRefused(told, code=error.code) from error


async def _answered(request: Request, caller: Caller, message: protocol.RpcAsked) -> Response:
    try:
        result = await _result(request, caller, message)
    except protocol.RpcRefused as refused:
        return _refusal(request, refused)
    if message.alone:
        meta = {**(result.meta or {}), f"{rpc.META}serverInfo": _SERVER.model_dump()}
        cached = {} if isinstance(result, rpc.ToolResult) else _CACHED
        more = {"resultType": "complete", "meta": meta, **cached}
        result = result.model_copy(update=more)
    return _reply(rpc.RpcReply(id=message.message.id, result=result))


async def _result(request: Request, caller: Caller, message: protocol.RpcAsked) -> rpc.McpResult:
    method = message.message.method
    if method == protocol.CALL:
        return await _called(request, caller, message)
    if method == "tools/list":
        if message.message.params.get("cursor") is not None:
            raise message.refused(protocol.INVALID_PARAMS, "cursor: there is one page.", 400)
        services, who = services_of(request), caller.principal
        return rpc.McpTools(tools=[tool.listed(services, who) for tool in TOOLS.values()])
    if method == "server/discover" and message.alone:
        return _OFFERED.model_copy(
            update={"supportedVersions": [protocol.STATELESS, *protocol.HANDSHAKE]}
        )
    if method == "initialize":
        wanted = message.read(rpc.Handshake).protocolVersion
        version = wanted if wanted in protocol.HANDSHAKE else protocol.HANDSHAKE[-1]
        return _OFFERED.model_copy(update={"protocolVersion": version, "serverInfo": _SERVER})
    if method == "ping" and not message.alone:
        return rpc.McpResult()
    raise message.refused(protocol.METHOD_NOT_FOUND, "There is no such method.", 404)


async def _called(request: Request, caller: Caller, message: protocol.RpcAsked) -> rpc.ToolResult:
    called = message.read(rpc.ToolCalled)
    tool = TOOLS.get(called.name)
    if tool is None:
        raise message.refused(protocol.INVALID_PARAMS, "There is no such tool.", 400)
    task = called.arguments.get("task")
    if isinstance(task, str):
        note_model(request, task)
    try:
        found = await tool.call(services_of(request), caller, called.arguments)
    except ApplianceError as error:
        return _failed(request, error)
    text = rpc.ToolText(text=found.model_dump_json())
    return rpc.ToolResult(content=[text], structuredContent=found, isError=False)


def _failed(request: Request, error: ApplianceError) -> rpc.ToolResult:
    state, seconds = request.scope["state"], seconds_to_wait(error)
    state["error_code"], state["status"] = error.code, status_of(error)
    told = {**error_body(error), **({} if seconds is None else {"retry_after": seconds})}
    text = f"{error.code}: {error.message} {CODES[error.code].hint}"
    return rpc.ToolResult(
        content=[rpc.ToolText(text=text)], isError=True, meta={"appliance/error": told}
    )


def _refusal(request: Request, refused: protocol.RpcRefused) -> Response:
    state = request.scope["state"]
    state["error_code"], state["status"] = refused.code, 400
    return _reply(rpc.RpcReply(id=refused.id, error=refused.error), refused.status)


def _reply(reply: rpc.RpcReply, status: int = 200) -> Response:
    return Response(reply.encoded(), status, media_type="application/json")
