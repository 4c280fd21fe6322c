"""An MCP server made of sockets: it records every byte it gets and answers as it is told.

Without a script it behaves: it speaks both eras, lists its tools and echoes calls. A script
is a coroutine that gets the request and the wire, for answers no library would give.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

PATIENCE_SECONDS = 60.0
MODERN_VERSION = "2026-07-28"
SESSION = "upstream-session-1"
_SCHEMA = {"type": "object", "properties": {"id": {"type": "string"}}}


def tool(name: str, **members: Any) -> dict[str, Any]:
    """Describe a tool as a server would."""
    return {"name": name, "description": f"About {name}.", "inputSchema": _SCHEMA} | members


SQL = tool(
    "query_rows",
    inputSchema={
        "type": "object",
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "limit": {"type": "integer", "x-mcp-header": "Limit"},
            "dry": {"type": "boolean", "x-mcp-header": "Dry"},
            "nested": {
                "type": "object",
                "properties": {"zone": {"type": "string", "x-mcp-header": "Zone"}},
            },
        },
    },
)
TOOLS = [
    tool("get_issue"),
    tool("create_issue"),
    tool("delete_issue"),
    tool("frobnicate"),
    tool("get_hidden"),
    SQL,
]


@dataclass(frozen=True)
class Seen:
    """One request as it came over the wire."""

    verb: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    raw: bytes

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.encode()]
        assert len(found) < 2, f"{name} was sent {len(found)} times"
        return found[0].decode("latin-1") if found else None

    @property
    def message(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body) if self.body else {}
        return value

    @property
    def method(self) -> str:
        return str(self.message.get("method", "")) if self.body else self.verb

    @property
    def modern(self) -> bool:
        return self.header("mcp-protocol-version") == MODERN_VERSION


class Wire:
    """The answering side of one request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.keep = True

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(
        self,
        body: bytes | dict[str, Any],
        *,
        status: int = 200,
        kind: str = "application/json",
        headers: tuple[str, ...] = (),
    ) -> None:
        """Send a whole response."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(raw)}", *headers]
        if kind:
            lines.append(f"content-type: {kind}")
        await self.send("\r\n".join([*lines, "", ""]).encode() + raw)

    async def begin_stream(self, *headers: str) -> None:
        """Send the head of an event stream."""
        lines = ["HTTP/1.1 200 OK", "content-type: text/event-stream", "transfer-encoding: chunked"]
        await self.send("\r\n".join([*lines, *headers, "", ""]).encode())

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def event(self, message: dict[str, Any], *, lead: bytes = b"event: message\r\n") -> bytes:
        """Send one event; returns its bytes."""
        event = lead + b"data: " + json.dumps(message).encode() + b"\r\n\r\n"
        await self.chunk(event)
        return event

    async def end_stream(self) -> None:
        await self.send(b"0\r\n\r\n")

    async def gone(self) -> None:
        """Wait until the other side has closed the connection."""
        self.keep = False
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                while await self._reader.read(65536):
                    pass
            except ConnectionError:
                pass

    def reset(self) -> None:
        self.keep = False
        self._writer.transport.abort()


Script = Callable[[Seen, Wire], Awaitable[None]]


@dataclass
class Upstream:
    """The server: what it has seen, and what it is told to do."""

    url: str = ""
    eras: tuple[str, ...] = ("modern", "legacy")
    tools: list[dict[str, Any]] = field(default_factory=lambda: list(TOOLS))
    older_tools: list[dict[str, Any]] | None = (
        None  # for the older era, if it spells them otherwise
    )
    hello: dict[str, Any] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    scripts: dict[str, Script] = field(default_factory=dict)
    failures: list[BaseException] = field(default_factory=list)
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    def reset(self) -> None:
        self.tools = list(TOOLS)
        self.older_tools = None
        self.hello = {}
        self.eras = ("modern", "legacy")
        self.seen.clear()
        self.scripts.clear()
        self.failures.clear()

    def calls(self) -> list[Seen]:
        """The tool calls that arrived."""
        return [seen for seen in self.seen if seen.method == "tools/call"]

    async def arrived(self, count: int = 1) -> None:
        """Wait until so many requests have come in."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._arrived:
            await self._arrived.wait_for(lambda: len(self.seen) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(reader, writer)
        try:
            while wire.keep and (seen := await _read(reader)) is not None:
                self.seen.append(seen)
                async with self._arrived:
                    self._arrived.notify_all()
                script = self.scripts.get(seen.method, self._behave)
                await script(seen, wire)
        except ConnectionError:
            pass
        except (AssertionError, TimeoutError) as error:
            self.failures.append(error)
        finally:
            writer.close()

    async def _behave(self, seen: Seen, wire: Wire) -> None:
        if seen.verb == "GET":
            await wire.answer(b"", status=405, kind="")
        elif seen.verb == "DELETE":
            await wire.answer(b"", kind="")
        elif "id" not in seen.message or "method" not in seen.message:
            await wire.answer(b"", status=202, kind="")
        elif ("modern" if seen.modern else "legacy") not in self.eras:
            error = {"code": -32600, "message": "Bad Request: Missing session ID"}
            said = {"jsonrpc": "2.0", "id": "server-error", "error": error}
            await wire.answer(said, status=400, headers=("mcp-session-id: leaked",))
        else:
            await self._respond(seen, wire)

    async def _respond(self, seen: Seen, wire: Wire) -> None:
        message, headers = seen.message, ()
        match seen.method:
            case "initialize":
                headers = (f"mcp-session-id: {SESSION}",)
                result: dict[str, Any] = {
                    "protocolVersion": message["params"]["protocolVersion"],
                    "capabilities": {"tools": {"listChanged": True}},
                    "serverInfo": {"name": "raw", "version": "1"},
                } | self.hello
            case "server/discover":
                result = {
                    "supportedVersions": [MODERN_VERSION],
                    "capabilities": {"tools": {}},
                    "ttlMs": 0,
                    "cacheScope": "public",
                } | self.hello
            case "tools/list":
                result = {
                    "tools": self.tools
                    if seen.modern or self.older_tools is None
                    else self.older_tools,
                    "ttlMs": 5,
                    "cacheScope": "public",
                }
            case "tools/call":
                text = json.dumps(message["params"].get("arguments"))
                result = {"content": [{"type": "text", "text": text}], "isError": False}
            case _:
                result = {}
        if seen.modern:
            result["resultType"] = "complete"
        else:
            result.pop("cacheScope", None)
            result.pop("ttlMs", None)
        said = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        await wire.answer(said, headers=headers)


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head[:-4].split(b"\r\n")
    headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        headers.append((name, value.strip()))
    length = next((int(v) for n, v in headers if n.lower() == b"content-length"), 0)
    try:
        body = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    verb, target, _ = first.decode().split(" ")
    return Seen(verb=verb, target=target, headers=headers, body=body, raw=head + body)


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    """Run one on a free port."""
    running = Upstream()
    tasks: set[asyncio.Task[None]] = set()

    # Tasks of our own making: the server's own would complain when they are cancelled.
    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(running.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(over)

    def over(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            running.failures.append(error)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1 << 20)
    running.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    try:
        yield running
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
