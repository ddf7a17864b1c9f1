"""The Python SDK 2 client, which asks `server/discover` first. MCP_ERA=legacy makes it begin with `initialize`."""

import os
import ssl
from contextlib import asynccontextmanager

import httpx2
from client import main
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client


class Member:
    def __init__(self, client):
        self.client = client
        self.server_info, self.protocol_version = client.server_info, client.protocol_version

    async def tools(self):
        tools, cursor = [], None
        while True:
            page = await self.client.list_tools(cursor=cursor)
            tools += page.tools
            cursor = page.next_cursor
            if not cursor:
                return tools

    async def call(self, tool, args):
        return await self.client.call_tool(tool, args)


@asynccontextmanager
async def connect(url, headers):
    cafile = os.environ.get("CA_CERT")
    verify = ssl.create_default_context(cafile=cafile) if cafile else True
    timeout = httpx2.Timeout(30, read=300)
    async with httpx2.AsyncClient(headers=headers, verify=verify, timeout=timeout) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=os.environ.get("MCP_ERA", "auto")) as client:
            yield Member(client)


main(connect)
