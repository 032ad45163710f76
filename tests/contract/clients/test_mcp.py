"""The unmodified `mcp` package, version 2, in both generations of the protocol, and openai-agents
with the tools of `/mcp`.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from agents.mcp import MCPServerStreamableHttp
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError

MODES = {"auto": "2026-07-28", "legacy": "2025-11-25"}
TOOLS = ["search_collection", "classify", "ask", "check_receipt"]
COLLECTION, CITING = os.environ["CONTRACT_COLLECTION"], os.environ["CONTRACT_CITING"]


def address(server: Any) -> str:
    return str(server.base_url).removesuffix("/v1") + "/mcp"


def key(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@asynccontextmanager
async def connected(server: Any, mode: str, secret: str = "") -> AsyncIterator[Any]:
    async with create_mcp_http_client(headers=key(secret or server.api_key)) as http:
        transport = streamable_http_client(address(server), http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


async def four_tools(server: Any, mode: str) -> None:
    async with connected(server, mode) as client:
        assert client.protocol_version == MODES[mode]
        assert client.server_info.name == "appliance" and client.instructions
        listed = (await client.list_tools()).tools
        assert [tool.name for tool in listed] == TOOLS
        assert server.task in listed[2].input_schema["properties"]["task"]["enum"]
        asked = {"collection": COLLECTION, "query": "When does the valve open?", "limit": 2}
        found = (await client.call_tool("search_collection", asked)).structured_content
        assert "12 bar" in found["data"][0]["text"] and found["data"][0]["sha256"]
        texts = {"task": server.task, "texts": ["replace hose", "engine leaks"]}
        sorted_ = (await client.call_tool("classify", texts)).structured_content
        assert [len(one["probs"]) for one in sorted_["data"]] == [
            len(sorted_["x_appliance"]["labels"])
        ] * 2
        cited = {"task": CITING, "text": "When does the relief valve open?"}
        answer = (await client.call_tool("ask", cited)).structured_content
        assert answer["x_appliance"]["collection"] == COLLECTION and answer["answer"]
        for one in (found, answer):
            kept = {"request_id": one["request_id"], "receipt": one["receipt"]}
            checked = (await client.call_tool("check_receipt", kept)).structured_content
            assert checked["holds"] and checked["matches"]


async def refusals(server: Any, mode: str) -> None:
    async with connected(server, mode) as client:
        with pytest.raises(MCPError, match="no such tool"):
            await client.call_tool("shell", {})
        for arguments in ({}, {"task": "nothing", "text": "x"}, {"task": server.task, "text": 5}):
            result = await client.call_tool("ask", arguments)
            assert result.is_error and result.content[0].text
        with pytest.raises(MCPError):
            await client.list_prompts()
    with pytest.raises(BaseExceptionGroup) as denied:
        async with connected(server, mode, "sk-wrong"):
            pass
    assert denied.group_contains(MCPError), repr(denied.value.exceptions)


async def as_tools_of_an_agent(server: Any) -> None:
    params = {"url": address(server), "headers": key(server.api_key)}
    async with MCPServerStreamableHttp(params=params) as tools:
        assert [tool.name for tool in await tools.list_tools()] == TOOLS
        result = await tools.call_tool("ask", {"task": server.task, "text": "replace hose"})
        content: Any = getattr(result, "structured_content", None) or result.structuredContent
        assert content["answer"] and content["receipt"]


@pytest.mark.parametrize("mode", MODES)
def test_the_four_tools(server: Any, mode: str) -> None:
    asyncio.run(four_tools(server, mode))


@pytest.mark.parametrize("mode", MODES)
def test_refusals_have_the_shapes_of_the_package(server: Any, mode: str) -> None:
    asyncio.run(refusals(server, mode))


def test_an_agent_takes_them_for_its_tools(server: Any) -> None:
    asyncio.run(as_tools_of_an_agent(server))
