"""A minimal MCP server (any path) as a WSGI application under gunicorn; its tool `environ` answers all HTTP_* variables.

The first argument is gunicorn's `header_map`: `dangerous` (the default here) keeps header names with an underscore,
`drop` (gunicorn's own default) loses them without a word, `refuse` answers 400.
"""

import json
import sys

from gunicorn.app.base import BaseApplication

from upstream import end_with_stdin, listening

ENVIRON = {"name": "environ", "description": "The HTTP_* variables of this request.", "inputSchema": {"type": "object"}}


def answer(message, environ):
    method = message["method"]
    if method == "initialize":
        info = {"name": "wsgi-upstream", "version": "1.0.0"}
        return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "ping":
        return {}
    if method == "tools/list":
        return {"tools": [ENVIRON]}
    if method == "tools/call" and message["params"]["name"] == "environ":
        seen = {name: value for name, value in environ.items() if name.startswith("HTTP_")}
        return {"content": [{"type": "text", "text": json.dumps(seen)}], "structuredContent": seen}
    return None


def application(environ, start_response):
    if environ["REQUEST_METHOD"] != "POST":
        start_response("405 Method Not Allowed", [("Allow", "POST"), ("Content-Length", "0")])
        return [b""]
    message = json.loads(environ["wsgi.input"].read())
    if "id" not in message:
        start_response("202 Accepted", [("Content-Length", "0")])
        return [b""]
    reply = {"jsonrpc": "2.0", "id": message["id"]}
    result = answer(message, environ)
    if result is None:
        reply["error"] = {"code": -32601, "message": "Method not found"}
    else:
        reply["result"] = result
    body = json.dumps(reply).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


class Program(BaseApplication):
    def load_config(self):
        settings = {
            "bind": "127.0.0.1:0",
            "worker_class": "gthread",
            "threads": 8,
            "loglevel": "warning",
            "header_map": sys.argv[1] if len(sys.argv) > 1 else "dangerous",
            "when_ready": self.ready,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self):
        return application

    @staticmethod
    def ready(arbiter):
        end_with_stdin()
        listening(arbiter.LISTENERS[0].sock.getsockname()[1])


Program().run()
