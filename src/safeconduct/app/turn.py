"""One request to the MCP endpoint and its answer, written in as few pieces as it can be."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from safeconduct.app.familiar import Familiar
from safeconduct.edge import AWAY, Approach, Door, Turned
from safeconduct.hosts import Host
from safeconduct.proxy import STRANGERS_BYTES, Answer, Head
from safeconduct.storage import StoreUnavailable

if TYPE_CHECKING:
    from safeconduct.app.protocol import McpProtocol

_log = logging.getLogger(__name__)
_LET_IN = frozenset({200, 202})  # what no stranger is answered with
_NO_CONTENT = 204  # has no Content-Length either (RFC 9110 section 8.6)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE = b"connection: close\r\n"
_BROKEN = Answer(500, ((b"content-type", b"text/plain"),))
_NO_NEWS = asyncio.Event()  # of a request that is whole; nobody waits for it


class Turn(RequestResponseCycle):
    """A cycle, as uvicorn calls it, without the parts that ASGI needs.

    Attributes:
        head: What the request says before its body.
        approach: What that says to the door.
        familiar: What its connection may remember of it once it was let in.
    """

    familiar: Familiar | None = None

    def __init__(  # its own attributes replace those of uvicorn's cycle
        self,
        line: McpProtocol,
        head: Head,
        approach: Approach,
        body: bytes | None,
        *,
        chunked: bool = True,
        keep_alive: bool = True,
        waits: bool = False,
    ) -> None:
        """Take a request.

        Args:
            line: The connection.
            head: What it says before its body.
            approach: What that says to the door.
            body: The whole body, or None if it is yet to come: to `body`, a piece at a time.
            chunked: Whether the client understands an answer in chunks.
            keep_alive: Whether the connection stays for another request.
            waits: Whether the client wants to be told to go on (RFC 9110 section 10.1.1).
        """
        self.head = head
        self.approach = approach
        self.transport = line.transport
        self.flow = line.flow
        self.keep_alive = keep_alive
        self.disconnected = self.response_started = self.response_complete = False
        self.waiting_for_100_continue = waits
        self.more_body = body is None
        self.message_event = asyncio.Event() if body is None else _NO_NEWS
        self.body = bytearray() if body is None else body  # type: ignore[assignment]  # nobody adds
        self._line: McpProtocol | None = line
        self._chunked = chunked
        self._began = time.perf_counter()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether a request like this needs no more than its head and its length to be read."""
        headers = self.head.headers
        return (
            not self.more_body
            and self.keep_alive
            and self._chunked
            and self.head.verb == "POST"
            and not headers.repeats(b"content-length")
            and headers.get(b"transfer-encoding") is None
            and headers.get(b"expect") is None
        )

    def start(self) -> None:
        """Begin to answer; what is under way is known to uvicorn, which waits for it at the end."""
        line = self._line
        assert line is not None
        self._task = line.loop.create_task(self._run(line))
        line.tasks.add(self._task)

    def hang_up(self) -> None:
        """End the call: the client is gone, and so is the reason for it."""
        if self._task is not None and not self.response_complete:
            self._task.cancel()

    async def _run(self, line: McpProtocol) -> None:
        try:
            answer = await self._answer(line)
            if answer is None:
                return
            if self.familiar is not None and answer.status in _LET_IN:
                line.familiar.remember(self.familiar)
            if isinstance(answer.body, bytes):
                self._send(line, answer, answer.body)
            else:
                await self._stream(line, answer, answer.body)
                self._complete()
        except asyncio.CancelledError:
            if not self.disconnected:
                self.transport.close()
            raise
        except Exception:  # noqa: BLE001  the last line of defence: one request, not the process
            _log.exception("a request to the MCP endpoint failed")
            self._fail(line)
        finally:
            line.tasks.discard(self._task)

    async def _answer(self, line: McpProtocol) -> Answer | None:
        """Return the answer, or None if the client went away before it had asked."""
        if self.more_body:
            await self._read(STRANGERS_BYTES)
        if self.disconnected:
            return None
        door = line.door
        host = AWAY if door.behind and not await _caught_up(door) else door.admit(self.approach)
        if isinstance(host, Turned):
            self.keep_alive = self.keep_alive and not self.more_body
            return _turned(host)
        if self.more_body:
            refusal = await self._rest(line, host)
            if refusal is not None or self.disconnected:
                return refusal
            # What was taken away while the body arrived is gone.
            host = AWAY if door.behind and not await _caught_up(door) else door.find(self.approach)
            if isinstance(host, Turned):
                return _turned(host)
        return await line.endpoint.answer(
            self.head,
            host=host,
            body=bytes(self.body),
            ip=self.approach.address,
            began=self._began,
        )

    async def _rest(self, line: McpProtocol, host: Host) -> Answer | None:
        """Read a large body to its end, or return the refusal of who may not send one."""
        refusal = await line.endpoint.turn_away(
            self.head, host=host, ip=self.approach.address, began=self._began
        )
        if refusal is None:
            await self._read(line.endpoint.max_body_bytes)
        if self.more_body:
            self.keep_alive = False  # what is left of the body is not worth reading
        return refusal

    async def _read(self, most: int) -> None:
        """Read the body to its end, or until it is longer than `most` bytes."""
        if self.waiting_for_100_continue:
            self._write(_CONTINUE)
            self.waiting_for_100_continue = False
        while self.more_body and not self.disconnected and len(self.body) <= most:
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()

    def _opening(self, line: McpProtocol, answer: Answer, length: int | None) -> bytes:
        """Write the answer's head."""
        pieces = [STATUS_LINE[answer.status], _spelled(answer.headers)]
        for name, value in line.server_state.default_headers:
            pieces += (name, b": ", value, b"\r\n")
        if length is not None:
            if answer.status != _NO_CONTENT:
                pieces.append(b"content-length: %d\r\n" % length)
        elif self._chunked:
            pieces.append(b"transfer-encoding: chunked\r\n")
        if not self.keep_alive:
            pieces.append(_CLOSE)
        pieces.append(b"\r\n")
        self.response_started = True
        return b"".join(pieces)

    async def _stream(
        self, line: McpProtocol, answer: Answer, events: AsyncGenerator[bytes]
    ) -> None:
        if not self._chunked:
            self.keep_alive = False  # HTTP/1.0: the end of the body is the end of the connection
        try:
            self._write(self._opening(line, answer, None))
            async for event in events:
                if event:
                    self._write(b"%x\r\n%b\r\n" % (len(event), event) if self._chunked else event)
                    if self.flow.write_paused:
                        await self.flow.drain()
        finally:
            await events.aclose()
        if self._chunked:
            self._write(b"0\r\n\r\n")

    def _send(self, line: McpProtocol, answer: Answer, body: bytes) -> None:
        shown = b"" if self.head.verb == "HEAD" else body
        # At the end of the loop's turn: see egress.wire, which sends likewise.
        line.loop.call_soon(self._finish, self._opening(line, answer, len(body)) + shown)

    def _finish(self, data: bytes) -> None:
        if not self.disconnected:
            self.transport.write(data)
        self._complete()

    def _write(self, data: bytes) -> None:
        if not self.disconnected:
            self.transport.write(data)

    def _complete(self) -> None:
        self.response_complete = True
        if not self.keep_alive:
            self.transport.close()
        line, self._line = self._line, None  # so that no turn keeps its connection
        if line is not None:
            line.on_response_complete()

    def _fail(self, line: McpProtocol) -> None:
        if self.response_started:
            self.transport.close()
            return
        self.keep_alive = False
        self._send(line, _BROKEN, b"Internal Server Error")


async def _caught_up(door: Door) -> bool:
    """Learn of the last changes; False while the database is away and nobody can."""
    try:
        await door.catch_up()
    except StoreUnavailable:
        return False
    return True


def _turned(turned: Turned) -> Answer:
    headers = ((b"content-type", b"application/json"), *turned.headers)
    return Answer(turned.status, headers, json.dumps(turned.body).encode())


@functools.lru_cache(maxsize=256)  # answers have one of a handful of heads, nearly always
def _spelled(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return b"".join([piece for name, value in headers for piece in (name, b": ", value, b"\r\n")])
