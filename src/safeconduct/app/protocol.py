"""HTTP/1.1 on one connection: MCP messages go to the road directly, the rest through ASGI.

An extra layer costs more than most steps of the road, and an answer in two writes costs a
system call, so requests to the MCP endpoint skip ASGI. Everything around them - parsing,
pipelining, keep-alive, graceful shutdown - is uvicorn's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from safeconduct.edge import Door, Turned, is_mcp
from safeconduct.proxy import Answer, McpEndpoint

_log = logging.getLogger(__name__)
_REQUEST_SECONDS = 30.0  # for a whole request to arrive, from its first byte
_STALLED_SECONDS = 120.0  # for a client to take anything at all of what is ready for it
_HEAD_BYTES = 64 * 1024  # of a request's target and fields
_FRAMING = 8  # how much longer than its content a body in the smallest chunks is
_NO_CONTENT = 204  # has no Content-Length either (RFC 9110 section 8.6)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE = b"connection: close\r\n"
_BROKEN = Answer(500, ((b"content-type", b"text/plain"),))


class McpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a shorter way for MCP messages."""

    def __init__(self, *, door: Door, endpoint: McpEndpoint, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._door = door
        self._endpoint = endpoint
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None
        self._arrived = 0  # bytes of the request that is coming in
        self._limit = _HEAD_BYTES
        self._most_bytes = _HEAD_BYTES + _FRAMING * endpoint.max_body_bytes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._be_quick()

    def data_received(self, data: bytes) -> None:
        self._arrived += len(data)
        super().data_received(data)
        if self._deadline is not None:
            if self._arrived > self._limit and not self.transport.is_closing():
                self.send_400_response("The request is too large.")
        elif self.cycle is None or self.cycle.response_complete:
            self._be_quick()  # empty lines begin no request, and win no time

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._limit = _HEAD_BYTES
        self._be_quick()

    def on_message_complete(self) -> None:
        self._no_hurry()
        self._arrived = 0
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        if self._arrived > _HEAD_BYTES and self._head_bytes() > _HEAD_BYTES:
            raise ValueError("the head is too large")  # 400, by uvicorn
        self._limit = self._most_bytes
        self._begin()
        # Trailers go here and nowhere: they are no headers (RFC 9110 section 6.5.1).
        self.headers = []

    def _begin(self) -> None:
        target, _, query = self.url.partition(b"?")
        path = target.decode("latin-1")
        if not is_mcp(path) or "%" in path or self.parser.should_upgrade():
            super().on_headers_complete()
            if self.parser.should_upgrade():
                self.cycle.keep_alive = False  # the parser takes all that follows for something new
            return
        self.scope["path"] = path
        self.scope["query_string"] = query
        self.scope["method"] = self.parser.get_method().decode("ascii")
        version = self.parser.get_http_version()
        before = self.cycle
        self.cycle = _Cycle(
            door=self._door,
            endpoint=self._endpoint,
            chunked=version != "1.0",
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        self._no_hurry()
        self._expect_nothing()
        super().connection_lost(exc)
        running = self._running  # with pipelining not the newest, which is all uvicorn thinks of
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
            if isinstance(running, _Cycle):
                running.hang_up()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_less(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._expect_nothing()
        super().resume_writing()

    def _expect_less(self, held: int) -> None:
        """Look later whether the client takes what is ready; who takes nothing is cut off."""
        self._expect_nothing()
        self._stalled = self.loop.call_later(_STALLED_SECONDS, self._look_for_less, held)

    def _look_for_less(self, held: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < held:
            self._expect_less(left)
        else:
            self.transport.abort()

    def _expect_nothing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _be_quick(self) -> None:
        """Give the client a bounded time to say what it wants; slow ones hold a socket each."""
        self._no_hurry()
        self._deadline = self.loop.call_later(_REQUEST_SECONDS, self.transport.close)

    def _no_hurry(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Cycle(RequestResponseCycle):
    """One request to the MCP endpoint and its answer, written in as few pieces as it can be."""

    def __init__(
        self, *, door: Door, endpoint: McpEndpoint, chunked: bool, **uvicorns: Any
    ) -> None:
        super().__init__(**uvicorns)
        self._door = door
        self._endpoint = endpoint
        self._chunked = chunked
        self._began = time.perf_counter()
        self._task: asyncio.Task[Any] | None = None

    def hang_up(self) -> None:
        """End the call: the client is gone, and so is the reason for it."""
        if self._task is not None and not self.response_complete:
            self._task.cancel()

    async def run_asgi(self, app: object) -> None:
        """Answer the request; the name is uvicorn's, no ASGI is involved."""
        self._task = asyncio.current_task()
        try:
            answer = await self._answer()
            if answer is None:
                return
            if isinstance(answer.body, bytes):
                self._send(answer, answer.body)
            else:
                await self._stream(answer, answer.body)
                self._complete()
        except asyncio.CancelledError:
            if not self.disconnected:
                self.transport.close()
            raise
        except Exception:  # noqa: BLE001  the last line of defence: one request, not the process
            _log.exception("a request to the MCP endpoint failed")
            self._fail()

    async def _answer(self) -> Answer | None:
        """Return the answer, or None if the client went away before it had asked."""
        body = await self._whole_body()
        if body is None:
            return None
        if self._door.behind:
            await self._door.catch_up()
        scope = self.scope
        verb, path, headers = scope["method"], scope["path"], list(scope["headers"])
        client = scope["client"]
        entered = self._door.admit(verb, path, headers, client[0] if client else "")
        if isinstance(entered, Turned):
            return _turned(entered)
        return await self._endpoint.answer(
            entered.host,
            verb=verb,
            path=path,
            query=scope["query_string"],
            headers=headers,
            body=body,
            ip=entered.address,
            began=self._began,
        )

    async def _whole_body(self) -> bytes | None:
        if self.more_body and self.waiting_for_100_continue:
            self._write(_CONTINUE)
            self.waiting_for_100_continue = False
        while self.more_body and not self.disconnected:
            if len(self.body) > self._endpoint.max_body_bytes:
                self.keep_alive = False  # the rest of the body is not worth reading
                break
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        return None if self.disconnected else bytes(self.body)

    def _head(self, answer: Answer, length: int | None) -> bytes:
        lines = [STATUS_LINE[answer.status]]
        for name, value in (*self.default_headers, *answer.headers):
            lines += (name, b": ", value, b"\r\n")
        if length is not None:
            if answer.status != _NO_CONTENT:
                lines.append(b"content-length: %d\r\n" % length)
        elif self._chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        if not self.keep_alive:
            lines.append(_CLOSE)
        lines.append(b"\r\n")
        self.response_started = True
        return b"".join(lines)

    def _shown(self, body: bytes) -> bytes:
        return b"" if self.scope["method"] == "HEAD" else body

    async def _stream(self, answer: Answer, events: AsyncGenerator[bytes]) -> None:
        if not self._chunked:
            self.keep_alive = False  # HTTP/1.0: the end of the body is the end of the connection
        try:
            self._write(self._head(answer, None))
            async for event in events:
                if event:
                    self._write(b"%x\r\n%b\r\n" % (len(event), event) if self._chunked else event)
                    if self.flow.write_paused:
                        await self.flow.drain()
        finally:
            await events.aclose()
        if self._chunked:
            self._write(b"0\r\n\r\n")

    def _send(self, answer: Answer, body: bytes) -> None:
        # At the end of the loop's turn: see egress.wire, which sends likewise.
        data = self._head(answer, len(body)) + self._shown(body)
        asyncio.get_running_loop().call_soon(self._finish, data)

    def _finish(self, data: bytes) -> None:
        self._write(data)
        self._complete()

    def _write(self, data: bytes) -> None:
        if not self.disconnected:
            self.transport.write(data)

    def _complete(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        on_response, self.on_response = self.on_response, _nothing
        on_response()

    def _fail(self) -> None:
        if self.response_started:
            self.transport.close()
            return
        self.keep_alive = False
        self._send(_BROKEN, b"Internal Server Error")


def _turned(turned: Turned) -> Answer:
    headers = ((b"content-type", b"application/json"), *turned.headers)
    return Answer(turned.status, headers, json.dumps(turned.body).encode())


def _nothing() -> None:
    """Stand in for uvicorn's callback once a request is over, so that no cycle keeps it."""
