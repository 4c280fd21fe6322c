"""An upstream that costs almost nothing: `python -m safeconduct.bench.stub`.

It speaks both eras well enough to be imported, answers every tools/call with the same 300
bytes under the caller's id, and counts the calls that reach it. The count is at `/count`.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any, cast

import httptools
import msgspec
import uvloop

TOOL = "search_items"
_ID = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.)*"|-?[0-9]+)')
_CALL = re.compile(rb'"method"\s*:\s*"tools/call"')
_TEXT = "Three items match: bearing 6204, belt 12-M, and a spare wheel for the arm. " * 3
_TAIL = (
    b',"result":'
    + msgspec.json.encode(
        {
            "resultType": "complete",
            "content": [{"type": "text", "text": _TEXT}],
            "isError": False,
        }
    )
    + b"}"
)
_TOOLS = [
    {
        "name": TOOL,
        "description": "Find items of the warehouse.",
        "inputSchema": {"type": "object", "properties": {"query": {"type": "string"}}},
    }
]
_COMPLETE = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
_ABOUT = {"name": "stub", "version": "1"}
_RESULTS: dict[str, dict[str, Any]] = {
    "initialize": {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}},
        "serverInfo": _ABOUT,
    },
    "server/discover": {
        **_COMPLETE,
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"tools": {}},
        "_meta": {"io.modelcontextprotocol/serverInfo": _ABOUT},
    },
    "tools/list": {**_COMPLETE, "tools": _TOOLS},
    "ping": {},
}


class Count:
    """How many calls arrived."""

    def __init__(self) -> None:
        self.calls = 0


class Stub(asyncio.Protocol):
    """One connection.

    Attributes:
        url: What the request in hand is for.
        body: What it brings.
    """

    def __init__(self, count: Count) -> None:
        self._count = count
        self._parser: Any = httptools.HttpRequestParser(self)
        self.transport: asyncio.Transport | None = None
        self.url = b""
        self.body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_message_begin(self) -> None:
        self.url = self.body = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        assert self.transport is not None
        self.transport.write(self.answer())

    def answer(self) -> bytes:
        """Return the answer to the request in hand."""
        if self.url == b"/count":
            return http_answer(b"200 OK", b"%d" % self._count.calls)
        found = _ID.search(self.body)
        if _CALL.search(self.body) and found:
            self._count.calls += 1
            return http_answer(b"200 OK", b'{"jsonrpc":"2.0","id":' + found[1] + _TAIL)
        if not self.body:
            return http_answer(b"405 Method Not Allowed", b"")
        return _rare(self.body)


def _rare(body: bytes) -> bytes:
    message = msgspec.json.decode(body)
    if "id" not in message:
        return http_answer(b"202 Accepted", b"")
    answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
    result = _RESULTS.get(message.get("method", ""))
    if result is None:
        answer["error"] = {"code": -32601, "message": "Method not found"}
    else:
        answer["result"] = result
    return http_answer(b"200 OK", msgspec.json.encode(answer))


def http_answer(status: bytes, body: bytes) -> bytes:
    """Return a whole HTTP answer with a JSON body."""
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


async def _serve() -> None:
    count = Count()
    server = await asyncio.get_running_loop().create_server(lambda: Stub(count), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"ready http://127.0.0.1:{port}/mcp\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
