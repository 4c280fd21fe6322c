"""HTTP/1.1 on one connection: MCP messages go to the road directly, the rest through ASGI.

An extra layer costs more than most steps of the road, and an answer in two writes costs a
system call, so requests to the MCP endpoint skip ASGI. Parsing, keep-alive and graceful shutdown
are uvicorn's, with one shortcut: a head that was read before (`familiar`) is not parsed again.

Requests are read one after the other: what arrives behind one stays in the `intake` until that
one is answered, and nothing more is taken from the network when it is much.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from safeconduct.app.connections import Connections
from safeconduct.app.familiar import FamiliarHeads, HeadBudget, familiar_from
from safeconduct.app.intake import Intake
from safeconduct.app.openings import (
    MOST_FIELDS,
    MOST_HEAD_BYTES,
    TOO_LARGE_HEAD,
    TOO_MANY_FIELDS,
    Malformed,
    length_of,
    read_opening,
)
from safeconduct.app.turn import Turn
from safeconduct.edge import Door, is_mcp
from safeconduct.proxy import McpEndpoint, read_head

_REQUEST_SECONDS = 30.0  # for a whole request to arrive, from its first byte
_STALLED_SECONDS = 120.0  # for a client to take anything at all of what is ready for it
_FRAMING = 8  # how much longer than its content a body in the smallest chunks is
_AHEAD_BYTES = 64 * 1024  # that may wait behind a request before nothing more is read
_UNREADABLE = Malformed("This is not HTTP/1.1 as RFC 9112 has it.")
_TOO_LARGE_HEAD = Malformed(TOO_LARGE_HEAD, status=431)
_TOO_LARGE_BODY = Malformed("The request is too large.", status=413)
_TURNED_AWAY = {
    429: Malformed("There are too many connections from your address. Close some.", status=429),
    503: Malformed("There are too many connections. Try again in a few seconds.", status=503),
}


class Shared:
    """What the connections of one process share."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.heads = HeadBudget()


class _Flow(FlowControl):
    """Takes nothing more from the network while much waits already, whoever asks for it."""

    much_waits = False

    def resume_reading(self) -> None:
        if not self.much_waits:
            super().resume_reading()


class McpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a shorter way for MCP messages."""

    flow: _Flow

    def __init__(
        self, *, door: Door, endpoint: McpEndpoint, shared: Shared, **uvicorns: Any
    ) -> None:
        super().__init__(**uvicorns)
        self.door = door
        self.endpoint = endpoint
        self.familiar = FamiliarHeads(shared.heads)
        self._connections = shared.connections
        self._counted: tuple[str | None] | None = None
        self._intake = Intake()
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._resting: asyncio.TimerHandle | None = None
        self._rests_since = 0.0
        self._fault: Malformed | None = None
        self._begun = 0  # requests that the parser has met
        self._arrived = 0  # bytes of the request that is coming in
        self._limit = MOST_HEAD_BYTES
        self._most_bytes = MOST_HEAD_BYTES + _FRAMING * endpoint.max_body_bytes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self.flow = _Flow(transport)
        subscriber = self.door.counts(self._peer())
        status = self._connections.begin(subscriber)
        if status:
            self._refuse(_TURNED_AWAY[status])
            return
        self._counted = (subscriber,)
        self._be_quick()

    def data_received(self, data: bytes) -> None:
        intake, begun = self._intake, self._begun
        if self._deadline is None and not intake and self._may_begin():
            # So the parser is between two requests.
            found = self.familiar.find(data)
            if found is not None:
                known, body = found
                self._go(Turn(self, known.head, known.approach, body))
                return
        alone = not intake
        intake.add(data)
        self._read_on()
        cycle = self.cycle
        if alone and self._begun == begun + 1 and isinstance(cycle, Turn) and cycle.is_plain:
            cycle.familiar = familiar_from(data, cycle.head, cycle.approach)

    def _read_on(self) -> None:
        """Parse what has arrived, up to the end of a request that is yet to be answered."""
        intake = self._intake
        while intake and self._takes_more():
            self._feed(intake.take())
        if len(intake) > _AHEAD_BYTES:
            self._hold_back()
        elif self._deadline is None and self._is_idle() and not self.transport.is_closing():
            self._be_quick()  # empty lines begin no request, and win no time

    def _takes_more(self) -> bool:
        within = not self._intake.is_between
        return not self.transport.is_closing() and (within or self._may_begin())

    def _may_begin(self) -> bool:
        """Whether another request may be read: the last one is answered, and answers are taken."""
        return self._is_idle() and not self.flow.write_paused

    def _go_on(self) -> None:
        if self._intake:
            self._read_on()
        if self.flow.much_waits and len(self._intake) <= _AHEAD_BYTES:
            self.flow.much_waits = False
            self.flow.resume_reading()

    def _hold_back(self) -> None:
        self.flow.pause_reading()
        self.flow.much_waits = True

    def _feed(self, piece: bytes) -> None:
        self._arrived += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            return  # the answer to who offers something else is the last one: see `_begin`
        except httptools.HttpParserError:
            fault, self._fault = self._fault, None
            self._refuse(fault or _UNREADABLE)
            return
        if self._deadline is not None and self._arrived > self._limit:
            in_head = self._limit == MOST_HEAD_BYTES
            self._refuse(_TOO_LARGE_HEAD if in_head else _TOO_LARGE_BODY)

    def _refuse(self, fault: Malformed) -> None:
        """Answer what is not read any further, unless its answer has begun, and hang up."""
        self._no_hurry()
        cycle = self.cycle
        if not self._is_idle():
            cycle.disconnected = True
            cycle.message_event.set()
        if self.transport.is_closing():
            return
        if self._is_idle() or not cycle.response_started:
            self.transport.write(_spelled(fault))
        self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun += 1
        self._limit = MOST_HEAD_BYTES
        self._be_quick()

    def on_message_complete(self) -> None:
        self._no_hurry()
        self._arrived = 0
        self._intake.over()
        super().on_message_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= MOST_FIELDS:
            raise self._malformed(Malformed(TOO_MANY_FIELDS, status=431))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._arrived > MOST_HEAD_BYTES and self._head_bytes() > MOST_HEAD_BYTES:
            raise self._malformed(_TOO_LARGE_HEAD)
        version = self.parser.get_http_version()
        try:
            self.url = read_opening(
                self._intake.opening(),
                method=self.parser.get_method(),
                target=self.url,
                version=version,
                fields=self.headers,
            )
        except Malformed as fault:
            raise self._malformed(fault) from fault
        if version == "1.0":
            self.expect_100_continue = False  # RFC 9110 section 10.1.1
        self._intake.expect(length_of(self.headers))
        self._limit = self._most_bytes
        self._begin(version)
        # Trailers go here and nowhere: they are no headers (RFC 9110 section 6.5.1).
        self.headers = []

    def _begin(self, version: str) -> None:
        target, _, query = self.url.partition(b"?")
        path = target.decode("latin-1")
        if not is_mcp(path) or "%" in path or self.parser.should_upgrade():
            super().on_headers_complete()
            if self.parser.should_upgrade():
                self.cycle.keep_alive = False  # the parser takes all that follows for something new
            return
        verb = self.parser.get_method().decode("ascii")
        turn = Turn(
            self,
            read_head(verb, path, query, self.headers),
            self.door.approach(verb, path, self.headers, self._peer()),
            None,
            chunked=version != "1.0",
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            waits=self.expect_100_continue,
        )
        self._go(turn)

    def _go(self, turn: Turn) -> None:
        self.cycle = turn
        turn.start()

    def _malformed(self, fault: Malformed) -> Malformed:
        """Note why the parser is about to be stopped: it hands no exception on."""
        self._fault = fault
        return fault

    def on_response_complete(self) -> None:
        """Go on with what has arrived meanwhile, or rest. For cycles, at their end."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self._go_on()
        if self._is_idle() and not self.transport.is_closing():
            self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        self._no_hurry()
        self._expect_nothing()
        if self._resting is not None:
            self._resting.cancel()
        if self._counted is not None:
            self._connections.end(*self._counted)
            self._counted = None
        self.familiar.forget()
        super().connection_lost(exc)
        if isinstance(self.cycle, Turn):
            self.cycle.hang_up()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_less(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._expect_nothing()
        super().resume_writing()
        if not self.transport.is_closing():
            self._go_on()

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

    def _peer(self) -> str:
        return self.client[0] if self.client else ""

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


def _spelled(fault: Malformed) -> bytes:
    """Write a whole answer, the last on its connection."""
    body = f"{fault.sentence}\n".encode()
    return b"".join(
        [
            STATUS_LINE[fault.status],
            b"content-type: text/plain; charset=utf-8\r\n",
            b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body),
            body,
        ]
    )
