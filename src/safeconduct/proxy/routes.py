"""The MCP endpoint as a bare ASGI callable: HTTP in, the road, HTTP out. It decides nothing.

A client that hangs up cancels its call. Watching for that costs a task, so it begins only
when an answer takes longer than a moment, or streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from safeconduct.core.errors import Code, Refused
from safeconduct.core.ids import Series
from safeconduct.core.model import ServerKey
from safeconduct.hosts import Host
from safeconduct.proxy import refusals
from safeconduct.proxy.claims import claim_of
from safeconduct.proxy.eras import Headers
from safeconduct.proxy.exchange import Answer, Exchange, Head, raw_body
from safeconduct.proxy.pipeline import Pipeline

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_A_MOMENT_SECONDS = 0.1
_SUGGESTION = re.compile(rb"upstream_mcp=[A-Za-z0-9%._~:/+@!$'()*,;=-]{1,1024}")
STRANGERS_BYTES = 64 * 1024  # of a body, before it is known who sends it
_NO_CONTENT = 204  # has no Content-Length either (RFC 9110 section 8.6)


class McpEndpoint:
    """Serves `/mcp` and `/mcp/{server}`, as an ASGI application or for a protocol class."""

    def __init__(self, pipeline: Pipeline, *, max_body_bytes: int = 4 * 1024 * 1024) -> None:
        self._pipeline = pipeline
        self._next_id = Series("req")
        self.max_body_bytes = max_body_bytes

    async def answer(self, head: Head, *, host: Host, body: bytes, ip: str, began: float) -> Answer:
        """Take one request along the road."""
        if len(body) > self.max_body_bytes:
            return refusals.answer(_too_large(self.max_body_bytes), era=None, message_id=None)
        return await self._pipeline.handle(Exchange(*head, self._next_id(), host, body, ip, began))

    async def turn_away(self, head: Head, *, host: Host, ip: str, began: float) -> Answer | None:
        """Refuse who would not be let in, before more than `STRANGERS_BYTES` of a body are read."""
        exchange = Exchange(*head, self._next_id(), host, b"", ip, began)
        return await self._pipeline.turn_away(exchange)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, host, ip = time.perf_counter(), scope["state"]["host"], scope["state"]["ip"]
        head = read_head(scope["method"], scope["path"], scope["query_string"], scope["headers"])

        async def vouch() -> Answer | None:
            return await self.turn_away(head, host=host, ip=ip, began=began)

        body = await self._body(receive, vouch) if scope["method"] == "POST" else b""
        if body is None:  # gone before the message was complete
            return
        if isinstance(body, Answer):
            await _send_whole(send, body, (b"connection", b"close"))  # the rest is not read
            return
        watch = _Watch(receive)
        try:
            answer = await self.answer(head, host=host, body=body, ip=ip, began=began)
            if isinstance(answer.body, bytes):
                await _send_whole(send, answer)
            else:
                watch.now()
                await _send_stream(send, answer, answer.body)
        except asyncio.CancelledError:
            if not watch.gone:  # somebody else ends us
                raise
        finally:
            watch.over()

    async def _body(
        self, receive: Receive, vouch: Callable[[], Awaitable[Answer | None]]
    ) -> bytes | Answer | None:
        """Return the body, or as much as shows that it is too large; None if nobody is there.

        Args:
            receive: Gives it a piece at a time.
            vouch: Asked once before much is read; what it answers is returned instead.
        """
        parts: list[bytes] = []
        size, more, vouched = 0, True, False
        while more and size <= self.max_body_bytes:
            if size > STRANGERS_BYTES and not vouched:
                refusal, vouched = await vouch(), True
                if refusal is not None:
                    return refusal
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = message.get("more_body", False)
        return b"".join(parts)


class _Watch:
    """Cancels the task it was made in when the client hangs up; `gone` says that it did."""

    def __init__(self, receive: Receive) -> None:
        self.gone = False
        self._receive = receive
        self._owner = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_A_MOMENT_SECONDS, self.now)

    def now(self) -> None:
        """Begin to watch."""
        if self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._wait())

    def over(self) -> None:
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    async def _wait(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone = True
                if self._owner is not None:
                    self._owner.cancel()
                return


def _too_large(limit: int) -> Refused:
    return Refused(Code.TOO_LARGE, f"The message is larger than {limit} bytes.")


def read_head(verb: str, path: str, query: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Head:
    """Read a request's head; `headers` have lower-case names."""
    server, read = server_in(path), Headers(headers)
    return Head(
        server=server,
        published="/mcp" if server is None else f"/mcp/{server}",
        typed=path,
        suggestion=_suggestion(path, query),
        verb=verb,
        headers=read,
        claim=claim_of(read),
    )


def server_in(path: str) -> ServerKey | None:
    """Return the server a path names, or None for the common endpoint."""
    return ServerKey(path.removeprefix("/mcp").strip("/")) or None


def _suggestion(path: str, query: bytes) -> str:
    """Return the query by which a client suggests a server, fit for a quoted string, or ""."""
    if path != "/mcp" or _SUGGESTION.fullmatch(query) is None:
        return ""
    return f"?{query.decode('ascii')}"


async def _send_whole(send: Send, answer: Answer, *more: tuple[bytes, bytes]) -> None:
    body = raw_body(answer)
    headers = [*answer.headers, *more]
    if answer.status != _NO_CONTENT:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_stream(send: Send, answer: Answer, events: AsyncGenerator[bytes]) -> None:
    async with contextlib.aclosing(events) as stream:
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": list(answer.headers),
            }
        )
        async for event in stream:
            if event:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
