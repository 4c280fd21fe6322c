"""HTTP/1.1 on one connection: MCP messages go to the road directly, the rest through ASGI.

An extra layer costs more than most steps of the road, and an answer in two writes costs a
system call, so requests to the MCP endpoint skip ASGI. Everything around them - parsing,
pipelining, keep-alive, graceful shutdown - is uvicorn's, with one shortcut: a head that was read
before (`familiar`) is not parsed again.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from safeconduct.app.familiar import FamiliarHeads
from safeconduct.app.turn import Turn
from safeconduct.edge import Door, is_mcp
from safeconduct.proxy import McpEndpoint, read_head

_REQUEST_SECONDS = 30.0  # for a whole request to arrive, from its first byte
_STALLED_SECONDS = 120.0  # for a client to take anything at all of what is ready for it
_HEAD_BYTES = 64 * 1024  # of a request's target and fields
_FRAMING = 8  # how much longer than its content a body in the smallest chunks is


class McpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a shorter way for MCP messages."""

    def __init__(self, *, door: Door, endpoint: McpEndpoint, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self.door = door
        self.endpoint = endpoint
        self._familiar = FamiliarHeads()
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._resting: asyncio.TimerHandle | None = None
        self._rests_since = 0.0
        self._running: RequestResponseCycle | None = None
        self._begun = 0  # requests that the parser has met
        self._arrived = 0  # bytes of the request that is coming in
        self._limit = _HEAD_BYTES
        self._most_bytes = _HEAD_BYTES + _FRAMING * endpoint.max_body_bytes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._be_quick()

    def data_received(self, data: bytes) -> None:
        begun = self._begun
        if self._deadline is None and self._is_idle():  # so the parser is between two requests
            found = self._familiar.find(data)
            if found is not None:
                known, body = found
                self._go(Turn(self, known.head, known.approach, body))
                return
        self._arrived += len(data)
        super().data_received(data)
        if self._deadline is not None:
            if self._arrived > self._limit and not self.transport.is_closing():
                self.send_400_response("The request is too large.")
        elif self._is_idle():
            self._be_quick()  # empty lines begin no request, and win no time
        elif self._begun == begun + 1 and isinstance(self.cycle, Turn) and self.cycle.is_plain:
            self._familiar.learn(data, self.cycle.head, self.cycle.approach)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun += 1
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
        verb = self.parser.get_method().decode("ascii")
        version = self.parser.get_http_version()
        peer = self.client[0] if self.client else ""
        before = self.cycle
        turn = self.cycle = Turn(
            self,
            read_head(verb, path, query, self.headers),
            self.door.approach(verb, path, self.headers, peer),
            None,
            chunked=version != "1.0",
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            waits=self.expect_100_continue,
        )
        if before is None or before.response_complete:
            self._go(turn)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((turn, self.app))

    def _go(self, turn: Turn) -> None:
        self.cycle = self._running = turn
        turn.start()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        if isinstance(cycle, Turn):
            cycle.start()
        else:
            super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Go on with what has arrived meanwhile, or rest. For cycles, at their end."""
        if self.pipeline:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        self._no_hurry()
        self._expect_nothing()
        if self._resting is not None:
            self._resting.cancel()
        super().connection_lost(exc)
        running = self._running  # with pipelining not the newest, which is all uvicorn thinks of
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
            if isinstance(running, Turn):
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

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _rest(self) -> None:
        """Wait for the next request; one timer looks after all rests of a connection."""
        self._rests_since = self.loop.time()
        if self._resting is None:
            self._resting = self.loop.call_later(self.timeout_keep_alive, self._look_for_request)

    def _look_for_request(self) -> None:
        self._resting = None
        if self._deadline is not None or not self._is_idle():
            return  # one is there, and its end is the beginning of the next rest
        left = self._rests_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._resting = self.loop.call_later(left, self._look_for_request)
        else:
            self.timeout_keep_alive_handler()
