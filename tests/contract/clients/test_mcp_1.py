"""The unmodified `mcp` package, version 1, against `/mcp`."""

import asyncio
from typing import Any

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def talk(server: Any) -> None:
    address = str(server.base_url).removesuffix("/v1") + "/mcp"
    headers = {"Authorization": f"Bearer {server.api_key}"}
    async with (
        streamablehttp_client(address, headers=headers) as (reading, writing, session_id),
        ClientSession(reading, writing) as session,
    ):
        begun = await session.initialize()
        assert begun.protocolVersion == "2025-11-25" and session_id() is None
        await session.send_ping()
        assert len((await session.list_tools()).tools) == 4
        done = await session.call_tool("ask", {"task": server.task, "text": "replace hose"})
        answer = done.structuredContent
        assert answer is not None and answer["answer"] and not done.isError
        kept = {"request_id": answer["request_id"], "receipt": answer["receipt"]}
        checked = (await session.call_tool("check_receipt", kept)).structuredContent
        assert checked is not None and checked["matches"]
        assert (await session.call_tool("ask", {})).isError


def test_the_tools_of_the_first_version_of_the_package(server: Any) -> None:
    asyncio.run(talk(server))
