"""The Python SDK client, which asks `server/discover` first; README.md describes the commands."""

import asyncio
import json
import os
import ssl
import sys

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client


def say(document):
    print(json.dumps(document), flush=True)


def causes(error):
    """The exceptions inside a group, or the one itself."""
    if isinstance(error, BaseExceptionGroup):
        return [cause for inner in error.exceptions for cause in causes(inner)]
    return [error]


def failure(error):
    cause = causes(error)[0]
    message = getattr(cause, "message", None) or str(cause) or repr(cause)
    return {"error": {"message": message, "code": getattr(cause, "code", None), "status": None}}


async def outcome(client, tool, args):
    try:
        result = await client.call_tool(tool, args)
        return {"result": result.model_dump(mode="json", by_alias=True, exclude_unset=True)}
    except Exception as error:
        return failure(error)


async def listing(client):
    tools, cursor = [], None
    while True:
        page = await client.list_tools(cursor=cursor)
        tools += [tool.name for tool in page.tools]
        cursor = page.next_cursor
        if not cursor:
            break
    info = client.server_info
    return {
        "serverInfo": info and info.model_dump(mode="json", by_alias=True, exclude_none=True),
        "protocolVersion": client.protocol_version,
        "tools": tools,
    }


async def session(client):
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip():
            step = json.loads(line)
            say(await outcome(client, step["tool"], step.get("args") or {}))


async def run(url, command, *rest):
    token = os.environ.get("MWT")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    cafile = os.environ.get("CA_CERT")
    verify = ssl.create_default_context(cafile=cafile) if cafile else True
    timeout = httpx2.Timeout(30, read=300)
    async with httpx2.AsyncClient(headers=headers, verify=verify, timeout=timeout) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=os.environ.get("MCP_ERA", "auto")) as client:
            if command == "list":
                say(await listing(client))
            elif command == "call":
                answer = await outcome(client, rest[0], json.loads(rest[1] if len(rest) > 1 else "{}"))
                say(answer)
                return "result" in answer
            elif command == "session":
                await session(client)
            else:
                raise ValueError("usage: <url> list | call <tool> [<json args>] | session")
    return True


def main():
    try:
        done = asyncio.run(run(*sys.argv[1:]))
    except Exception as error:
        say(failure(error))
        done = False
    sys.exit(0 if done else 1)


main()
