"""An MCP server of the older era in a thread: as little as a crawler needs, tools to be changed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Upstream:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.descriptions = {"get_issue": "Reads an issue.", "delete_issue": "Deletes an issue."}

    def answer(self, method: str) -> dict[str, Any] | None:
        if method == "initialize":
            return {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "small", "version": "1"},
            }
        if method == "tools/list":
            return {
                "tools": [
                    {"name": name, "description": text, "inputSchema": {"type": "object"}}
                    for name, text in self.descriptions.items()
                ]
            }
        return None


@contextmanager
def an_upstream() -> Iterator[Upstream]:
    """Serve until left."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            result = upstream.answer(body["method"])
            if "id" not in body:
                self._send(202, b"")
            elif result is None:
                self._send(400, b"{}")
            else:
                reply = {"jsonrpc": "2.0", "id": body["id"], "result": result}
                self._send(200, json.dumps(reply).encode())

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    upstream = Upstream(f"http://127.0.0.1:{server.server_port}/mcp")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield upstream
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
