"""An upstream that can be slow: `python -m safeconduct.bench.slow_stub`.

Like the stub, and beside it: the tool `wait_for_item` answers after a minute, a listening stream
stays open until the other side closes it, and the server at `/many/mcp` has many tools.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec
import uvloop

from safeconduct.bench.stub import TOOL, Count, Stub, http_answer

SLOW_TOOL = "wait_for_item"
MANY_TOOLS = 500
_WAIT_SECONDS = 60.0
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n"
)
_SCHEMA = {"type": "object", "properties": {"query": {"type": "string"}}}


def _tools(names: list[str]) -> bytes:
    tools = [{"name": name, "description": "Find items.", "inputSchema": _SCHEMA} for name in names]
    about = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    return msgspec.json.encode({**about, "tools": tools})


_FEW, _MANY = (
    _tools([TOOL, SLOW_TOOL]),
    _tools([f"search_items_{number}" for number in range(MANY_TOOLS)]),
)


class SlowStub(Stub):
    """One connection."""

    def on_message_complete(self) -> None:
        if self.body and b"wait_for_item" in self.body and b'"tools/call"' in self.body:
            self._answer_later()
        elif b'"subscriptions/listen"' in self.body:
            self._open_stream()
        elif b'"tools/list"' in self.body:
            self._list()
        else:
            super().on_message_complete()

    def _answer_later(self) -> None:
        answer = self.answer()
        asyncio.get_running_loop().call_later(_WAIT_SECONDS, self._write, answer)

    def _write(self, answer: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(answer)

    def _open_stream(self) -> None:
        event = b": open\n\n"
        self._write(_STREAM_HEAD % (len(event), event))

    def _list(self) -> None:
        message = msgspec.json.decode(self.body)
        result = _MANY if self.url.startswith(b"/many/") else _FEW
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": msgspec.Raw(result)}
        self._write(http_answer(b"200 OK", msgspec.json.encode(answer)))


async def _serve() -> None:
    count = Count()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SlowStub(count), "127.0.0.1", 0, backlog=2048)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"ready http://127.0.0.1:{port}/mcp\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
