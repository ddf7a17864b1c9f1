"""A FastMCP server (path /mcp) that demands a bearer token.

The token is EXPECTED_TOKEN, or the content of the file EXPECTED_TOKEN_FILE, read anew at each request so that a test
can rotate it.
"""

import os
import socket
from pathlib import Path

from fastmcp import FastMCP
from fastmcp.server.auth import AccessToken, TokenVerifier

from upstream import end_with_stdin, listening


def expected():
    file = os.environ.get("EXPECTED_TOKEN_FILE")
    return Path(file).read_text().strip() if file else os.environ["EXPECTED_TOKEN"]


class OneToken(TokenVerifier):
    async def verify_token(self, token: str) -> AccessToken | None:
        return AccessToken(token=token, client_id="test", scopes=[]) if token == expected() else None


server = FastMCP("bearer-upstream", auth=OneToken())


@server.tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool
def whoami() -> str:
    """Says that the token was accepted."""
    return "ok"


expected()  # a missing setting ends the program here
listener = socket.create_server(("127.0.0.1", 0))
end_with_stdin()
listening(listener.getsockname()[1])
server.run(transport="http", sockets=[listener], show_banner=False, log_level="warning")
