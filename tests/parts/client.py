"""What the Python clients do once they are connected; README.md describes the commands."""

import asyncio
import json
import os
import sys


def say(document):
    print(json.dumps(document), flush=True)


def wire(model):
    """A model of an SDK as it stands on the wire."""
    return model and model.model_dump(mode="json", by_alias=True, exclude_unset=True)


def causes(error):
    """The exceptions inside a group, or the one itself."""
    if isinstance(error, BaseExceptionGroup):
        return [cause for inner in error.exceptions for cause in causes(inner)]
    return [error]


def failure(error):
    cause = causes(error)[0]
    told = getattr(cause, "error", cause)  # the SDK 1 keeps the JSON-RPC error inside
    message = getattr(told, "message", None) or str(cause) or repr(cause)
    return {"error": {"message": message, "code": getattr(told, "code", None), "status": None}}


async def outcome(member, tool, args):
    try:
        return {"result": wire(await member.call(tool, args))}
    except Exception as error:
        return failure(error)


async def session(member):
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip():
            step = json.loads(line)
            say(await outcome(member, step["tool"], step.get("args") or {}))


async def run(connect, url, command, *rest):
    token = os.environ.get("MWT")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with connect(url, headers) as member:
        if command == "list":
            info = wire(member.server_info)
            tools = [tool.name for tool in await member.tools()]
            say({"serverInfo": info, "protocolVersion": member.protocol_version, "tools": tools})
        elif command == "call":
            answer = await outcome(member, rest[0], json.loads(rest[1] if len(rest) > 1 else "{}"))
            say(answer)
            return "result" in answer
        elif command == "session":
            await session(member)
        else:
            raise ValueError("usage: <url> list | call <tool> [<json args>] | session")
    return True


def main(connect):
    """`connect(url, headers)` is a context with a member: `server_info`, `protocol_version`, `tools()`, `call(tool, args)`."""
    try:
        done = asyncio.run(run(connect, *sys.argv[1:]))
    except Exception as error:
        say(failure(error))
        done = False
    sys.exit(0 if done else 1)
