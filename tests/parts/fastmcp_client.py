"""The FastMCP client, which asks `server/discover` first. MCP_ERA=legacy makes it begin with `initialize`."""

import os
from contextlib import asynccontextmanager

from client import main
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport


class Member:
    def __init__(self, client):
        self.client = client
        self.server_info, self.protocol_version = client.server_info, client.protocol_version

    async def tools(self):
        return await self.client.list_tools()

    async def call(self, tool, args):
        return await self.client.call_tool_mcp(tool, args)


@asynccontextmanager
async def connect(url, headers):
    transport = StreamableHttpTransport(url, headers=headers)
    async with Client(transport, mode=os.environ.get("MCP_ERA", "auto")) as client:
        yield Member(client)


main(connect)
