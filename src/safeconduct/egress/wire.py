"""One connection to an upstream: writes a request, reads its response (RFC 9112).

Callbacks only; no task and no timer of its own. httptools parses; everything it would let
through and we would not is refused here: interim floods, upgrades, codings we did not ask
for, framing that two readers could see differently. A connection that has shown anything odd
is never used again. Nothing counts as an answer that arrived before its request was written:
taken for one, it would be somebody else's, and so would every later answer.
"""

from __future__ import annotations

import asyncio
import os
import re
import select
import ssl
from math import inf
from typing import Any, Protocol, cast

import httptools

from safeconduct.egress.failures import Limits, UpstreamFailed, UpstreamTimeout
from safeconduct.egress.reply import Reply

_IDLE, _UNWRITTEN, _HEAD, _BODY, _CLOSED = range(5)
_ANSWERED = frozenset({_HEAD, _BODY})

_FRAMING = frozenset({b"transfer-encoding", b"content-encoding", b"keep-alive"})
_WITHOUT_BODY = frozenset({204, 304})
_VERSIONS = frozenset({"1.1", "1.0"})
_KEEP_ALIVE_TIMEOUT = re.compile(rb"(?:^|[,\s])timeout\s*=\s*(\d{1,6})(?!\d)", re.IGNORECASE)


class Owner(Protocol):
    """Who keeps connections: told when one is free again, and when it is no more."""

    def free(self, connection: Connection) -> None: ...

    def gone(self, connection: Connection) -> None: ...


class _Unsolicited(Exception):
    """Bytes after the end of the response: they answer nothing we asked."""


class Connection(asyncio.Protocol):
    """One connection, one exchange at a time."""

    __slots__ = (
        "_clock",
        "_complete",
        "_deadline",
        "_fd",
        "_fields",
        "_head",
        "_interim",
        "_interim_count",
        "_keep",
        "_keep_seconds",
        "_limits",
        "_loop",
        "_most_fields",
        "_owner",
        "_parser",
        "_paused",
        "_poll",
        "_quiet_bytes",
        "_reply",
        "_skipped",
        "_small_bytes",
        "_state",
        "_transport",
        "_until_eof",
    )

    def __init__(self, *, owner: Owner, limits: Limits) -> None:
        self._owner = owner
        self._limits = limits
        self._most_fields = limits.header_count
        self._small_bytes = min(limits.line_bytes, limits.head_bytes)
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._parser: Any = httptools.HttpResponseParser(self)
        self._poll = select.poll()
        self._transport: asyncio.Transport | None = None
        self._head: asyncio.Future[Reply] | None = None
        self._reply: Reply | None = None
        self._state = _IDLE
        self._deadline = inf
        self._fd = -1
        self._paused = False
        # Of one exchange; `send` begins some anew, a response's head or its end the others.
        self._fields: list[tuple[bytes, bytes]] = []
        self._skipped = 0
        self._quiet_bytes = 0
        self._interim = False
        self._interim_count = 0
        self._complete = False
        self._keep = False
        self._keep_seconds = 0.0
        self._until_eof = False

    # For the pool

    @property
    def connected(self) -> bool:
        """Whether there is a transport, dead or alive."""
        return self._transport is not None

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._state == _CLOSED

    @property
    def kept(self) -> bool:
        """Whether an exchange ended here, and the connection was kept for another."""
        return self._keep_seconds > 0

    def reusable(self) -> bool:
        """Whether an idle connection may carry another request.

        Asks the kernel too: bytes or an end that have arrived but were not read yet would
        otherwise be taken for the next request's answer, or lose it.
        """
        return (
            self._state == _IDLE
            and self._transport is not None
            and not self._transport.is_closing()
            and self._clock() < self._deadline
            and not self._poll.poll(0)
        )

    def send(self, request: bytes) -> asyncio.Future[Reply]:
        """Write one request; the future gives its reply once the response's head is in.

        It fails with nothing sent where the connection turns out to be spent before the first
        byte is written.
        """
        assert self._transport is not None
        self._fields = []
        self._quiet_bytes = self._interim_count = 0
        self._complete = False
        self._state = _UNWRITTEN
        self._deadline = self._clock() + self._limits.head_seconds
        head = self._head = self._loop.create_future()
        # At the end of the loop's turn, with everybody else's: several writes in a row wake
        # the other side once, which costs more than writing.
        self._loop.call_soon(self._write, request)
        return head

    def _write(self, request: bytes) -> None:
        if self._state != _UNWRITTEN:
            return
        transport = self._transport
        assert transport is not None
        # A new TLS connection is left out: what the kernel has may be the handshake's own end.
        looks = self._fd >= 0 or self.kept
        if transport.is_closing() or (looks and self._poll.poll(0)):
            self._end(self._failure("the upstream spoke before it was asked"))
        elif self._fd >= 0:
            self._write_now(transport, request)
        else:
            self._state = _HEAD
            transport.write(request)

    def _write_now(self, transport: asyncio.Transport, request: bytes) -> None:
        """Write to the socket itself, so that nothing can come between looking and writing.

        uvloop's transports would write at the end of the loop's turn.
        """
        try:
            written = os.write(self._fd, request)
        except BlockingIOError:
            written = 0
        except OSError:
            self._end(self._failure("the connection to the upstream broke"))
            return
        self._state = _HEAD
        if written < len(request):
            transport.write(memoryview(request)[written:])

    def abort(self) -> None:
        """Close at once, whatever is going on."""
        if self._state == _CLOSED:
            return
        self._end(self._failure("the exchange was given up"))

    def tick(self, now: float) -> None:
        """Give up what has taken too long."""
        if now < self._deadline:
            return
        if self._state == _IDLE:
            self.abort()
        elif self._state != _CLOSED:
            self._end(UpstreamTimeout("the upstream took too long to answer", sent=True))

    def drained(self) -> None:
        """Go on reading after a pause."""
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._deadline = self._clock() + self._limits.idle_seconds
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none by inheritance.
        self._transport = cast("asyncio.Transport", transport)
        if self._state == _CLOSED:  # given up while the connection was being made
            self._transport.abort()
            return
        fd = transport.get_extra_info("socket").fileno()
        self._poll.register(fd, select.POLLIN)
        if transport.get_extra_info("ssl_object") is None:
            self._fd = fd

    def data_received(self, data: bytes) -> None:
        before = self._state
        if before not in _ANSWERED:
            self._end(self._failure("the upstream spoke before it was asked"))
            return
        self._quiet_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._keep = False
            if not self._complete:
                self._end(_meaning(error))
                return
        if self._complete:
            self._finish()
        elif self._quiet_bytes > self._limits.head_bytes:
            self._end(UpstreamFailed("the upstream sends too much beside the answer", sent=True))
        elif self._reply is not None:
            self._pace(self._reply, begun=before == _HEAD)

    def eof_received(self) -> None:
        if self._state == _BODY and self._until_eof and _said_goodbye(self._transport):
            self._keep = False
            self._finish()
        else:
            self._end(self._failure("the upstream closed the connection too early"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(self._failure("the connection to the upstream broke"))
        self._parser = None  # it holds our methods, so this undoes a reference cycle

    # httptools

    def on_message_begin(self) -> None:
        if self._complete:
            raise _Unsolicited

    def on_header(self, name: bytes, value: bytes) -> None:
        # Counted at once, as empty ones cost more to keep than to send. Bytes are counted when
        # the head is complete; until then `data_received` bounds whatever comes.
        fields = self._fields
        fields.append((name.lower(), value))
        if len(fields) > self._most_fields:
            raise _too_many()

    def on_headers_complete(self) -> None:
        fields = self._fields
        # A field counts for at most one byte more than it takes on the wire.
        if self._quiet_bytes + len(fields) > self._small_bytes:
            self._measure()
        status = self._parser.get_status_code()
        if status < 200:
            self._skip_interim(status)
            return
        version = self._parser.get_http_version()
        if status > 599 or version not in _VERSIONS:
            raise UpstreamFailed("the upstream's status line is not HTTP/1.1", sent=True)
        if self._interim_count:
            del fields[: self._skipped]
        self._keep_seconds = self._limits.pool_idle_seconds
        length, chunked = None, False
        for name, value in fields:
            if name == b"content-length":  # httptools refuses a second, and an odd one
                length = int(value)
            elif name in _FRAMING:
                chunked = self._framing(name, value.strip(b" \t")) or chunked
        if chunked and version == "1.0":
            raise UpstreamFailed("the upstream's framing is ambiguous", sent=True)
        self._until_eof = not (chunked or length is not None or status in _WITHOUT_BODY)
        self._begin(Reply(status, fields, length, self))

    def on_body(self, piece: bytes) -> None:
        self._quiet_bytes = 0
        assert self._reply is not None
        self._reply.feed(piece)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            return
        if self._fields:  # a trailer
            self._measure()
        self._complete = True
        self._keep = self._parser.should_keep_alive()

    # Inside

    def _failure(self, public: str) -> UpstreamFailed:
        return UpstreamFailed(public, sent=self._state != _UNWRITTEN)

    def _measure(self) -> None:
        """Count each field's bytes, and those of all: names, values and what stands between."""
        limits, head_bytes = self._limits, 0
        for name, value in self._fields:
            size = len(name) + len(value)
            head_bytes += size + 4
            if size > limits.line_bytes or head_bytes > limits.head_bytes:
                raise _too_many()

    def _skip_interim(self, status: int) -> None:
        self._interim = True
        self._interim_count += 1
        self._skipped = len(self._fields)
        if status < 100 or status == 101 or self._interim_count > self._limits.interim_count:
            raise UpstreamFailed("the upstream answers with no final status", sent=True)

    def _framing(self, name: bytes, value: bytes) -> bool:
        """Take in one more field that says how the body is framed; True if it is in chunks.

        httptools already refuses it beside a length.
        """
        if name == b"transfer-encoding":
            if value.lower() != b"chunked":
                raise UpstreamFailed("the upstream uses an unknown transfer coding", sent=True)
            return True
        if name == b"content-encoding":
            if value.lower() != b"identity":
                raise UpstreamFailed("the upstream compresses although not asked to", sent=True)
        elif found := _KEEP_ALIVE_TIMEOUT.search(value):
            # A second less, so that our request and their close do not cross.
            self._keep_seconds = min(self._keep_seconds, int(found[1]) - 1)
        return False

    def _begin(self, reply: Reply) -> None:
        self._state = _BODY
        self._fields = []  # the trailer has its own allowance
        self._reply = reply
        head = self._head
        assert head is not None
        if head.done():
            # Cancelled, though its task has not run yet: when it does, it closes this very
            # connection, which therefore must not be lent to somebody else in between.
            raise UpstreamFailed("the exchange was given up", sent=True)
        head.set_result(reply)

    def _pace(self, reply: Reply, *, begun: bool) -> None:
        """After a head or a piece of the body: a new deadline, and a pause for a slow reader."""
        if reply.held > self._limits.buffer_bytes and not self._paused:
            assert self._transport is not None
            self._paused = True
            self._transport.pause_reading()
            self._deadline = self._clock() + self._limits.stalled_seconds
        elif (begun or self._quiet_bytes == 0) and not self._paused:
            self._deadline = self._clock() + self._limits.idle_seconds

    def _finish(self) -> None:
        """Give the whole response to the reader, and ourselves back to the pool."""
        reply, transport = self._reply, self._transport
        assert reply is not None
        assert transport is not None
        self._reply = self._head = None
        reply.finish()
        # An answer that overtook its request leaves bytes behind: never reuse that.
        if self._keep and self._keep_seconds > 0 and not transport.get_write_buffer_size():
            if self._paused:
                self._paused = False
                transport.resume_reading()
            self._state = _IDLE
            self._deadline = self._clock() + self._keep_seconds
            self._owner.free(self)
        else:
            self.abort()

    def _end(self, error: UpstreamFailed) -> None:
        """Close, and tell whoever waits why. The first reason stands."""
        if self._state == _CLOSED:
            return
        self._state = _CLOSED
        self._deadline = inf
        head, reply = self._head, self._reply
        self._head = self._reply = None
        if self._transport is not None:
            self._transport.abort()
        if reply is not None:
            reply.fail(error)
        elif head is not None and not head.done():
            head.set_exception(error)
        self._owner.gone(self)


def _said_goodbye(transport: asyncio.Transport | None) -> bool:
    """Whether the other side meant to end, as far as that can be known.

    Over TLS it says so with close_notify; an end without it may be an attacker's cut and must
    not pass for the end of a body (RFC 9112 section 9.8).
    """
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    if tls is None:
        return True
    try:
        return not tls.read(1)
    except ssl.SSLError:
        return False


def _too_many() -> UpstreamFailed:
    return UpstreamFailed("the upstream sends too many headers", sent=True)


def _meaning(error: Exception) -> UpstreamFailed:
    """Return the refusal behind a parser's error; anything of ours that broke stays broken."""
    if isinstance(error, httptools.HttpParserCallbackError):
        cause = error.__context__
        if isinstance(cause, UpstreamFailed):
            return cause
        raise error
    # The parser's own words are about syntax and repeat nothing that was received.
    return UpstreamFailed("the upstream does not answer in HTTP/1.1", str(error), sent=True)
