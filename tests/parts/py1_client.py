"""The Python SDK 1 client, which begins with `initialize`; it runs in the environment `venv-mcp1`."""

from contextlib import asynccontextmanager

import httpx
from client import main
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import PaginatedRequestParams


class Member:
    def __init__(self, session, opened):
        self.session = session
        self.server_info, self.protocol_version = opened.serverInfo, opened.protocolVersion

    async def tools(self):
        tools, cursor = [], None
        while True:
            page = await self.session.list_tools(params=PaginatedRequestParams(cursor=cursor))
            tools += page.tools
            cursor = page.nextCursor
            if not cursor:
                return tools

    async def call(self, tool, args):
        return await self.session.call_tool(tool, args)


@asynccontextmanager
async def connect(url, headers):
    async with httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(30, read=300)) as http:
        async with streamable_http_client(url, http_client=http) as (reading, writing, _):
            async with ClientSession(reading, writing) as session:
                yield Member(session, await session.initialize())


main(connect)
