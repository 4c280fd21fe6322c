"""An upstream's answer while it arrives: status and headers at once, the body as it comes.

The connection puts pieces in, one reader takes them out. What is not read is bounded: above
the high-water mark the connection stops reading from the upstream.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from safeconduct.egress.failures import AnswerTooLong, UpstreamFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Charged per piece, so that many tiny chunks count for what they cost to keep.
_PIECE_OVERHEAD = 64

_LONGEST_SHOWN = 300
_SINGLE = frozenset({b"content-type", b"content-length", b"mcp-session-id"})


class Source(Protocol):
    """Where a reply's body comes from."""

    def drained(self) -> None:
        """Note that the reader has taken everything; more is welcome."""

    def abort(self) -> None:
        """Close at once: the reader has gone."""


class Reply:
    """One response.

    Attributes:
        status: 200 to 599.
        headers: In the order received, names lower-cased, values with the blanks around them;
            trailers are dropped.
        length: What Content-Length promised, or None.
        held: Cost of the unread pieces, for the connection's back-pressure.
        upstream_status: The status an upstream answered with, for the record. None where the
            reply was made here and no upstream was asked.
    """

    __slots__ = (
        "_ended",
        "_error",
        "_pieces",
        "_source",
        "_waiter",
        "headers",
        "held",
        "length",
        "status",
        "upstream_status",
    )

    def __init__(
        self,
        status: int,
        headers: list[tuple[bytes, bytes]],
        length: int | None,
        source: Source | None,
    ) -> None:
        self.status: int = status
        self.upstream_status: int | None = status
        self.headers = headers
        self.length = length
        self.held = 0
        self._source = source
        self._pieces: list[bytes] = []
        self._ended = False
        self._error: UpstreamFailed | None = None
        self._waiter: asyncio.Future[None] | None = None

    @classmethod
    def made(
        cls, status: int, kind: bytes = b"", body: bytes = b"", *, upstream_status: int | None
    ) -> Reply:
        """Return a reply that is whole already, for an upstream that is spoken for here.

        Args:
            status: What the caller gets to see.
            kind: Its media type, or nothing.
            body: All of it.
            upstream_status: What the upstream said, if it was asked.
        """
        reply = cls(status, [(b"content-type", kind)] if kind else [], len(body), None)
        reply.upstream_status = upstream_status
        if body:
            reply.feed(body)
        reply.finish()
        return reply

    def __repr__(self) -> str:
        return f"Reply(status={self.status})"

    def header(self, name: bytes) -> bytes | None:
        """Return a field's first value, by its lower-case name.

        Raises:
            UpstreamFailed: If a field that decides how the answer is understood is there
                twice and the two differ.
        """
        found = None
        for known, padded in self.headers:
            if known != name:
                continue
            value = padded.strip(b" \t")
            if found is None:
                found = value
            elif value != found and name in _SINGLE:
                raise UpstreamFailed("the upstream contradicts itself in a header", name, sent=True)
        return found

    @property
    def points_to(self) -> str | None:
        """Where a redirect leads (RFC 9110 section 15.4), fit to be shown; None where it is none.

        Redirects are not followed: what is behind one was judged by nobody. A query is left
        out, since it may hold what is nobody's business.
        """
        if not 300 <= self.status < 400 or self.status == 304:
            return None
        location = self.header(b"location")
        if not location:
            return None
        where = location.decode("latin-1").partition("?")[0]
        scheme, mark, rest = where.partition("://")
        where = f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else where
        return where[:_LONGEST_SHOWN] if where and where.isprintable() else "another address"

    def at_hand(self, limit: int) -> bytes | None:
        """Return the whole body if it is here and not too long, else None: `read`, not waiting."""
        return self._take() if self._ended and self.held <= limit else None

    async def read(self, limit: int) -> bytes:
        """Return the whole body; leaving early, by error or cancellation, closes the connection.

        Raises:
            UpstreamFailed: If the body is longer than `limit` bytes or does not arrive whole.
        """
        body = self.at_hand(limit)
        if body is not None:
            return body
        taken: list[bytes] = []
        size = 0
        try:
            if self.length is not None and self.length > limit:
                raise _too_long()
            async for chunk in self:
                taken.append(chunk)
                size += len(chunk)
                if size > limit:
                    raise _too_long()
        except (UpstreamFailed, asyncio.CancelledError):
            await self.aclose()
            raise
        return b"".join(taken)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return what has arrived since the last time.

        Waiting for it may be cancelled and taken up again, as a loop does that sends
        keep-alive comments in between.
        """
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._take()

    async def aclose(self) -> None:
        """Stop: unless the body has ended, the connection is closed before this returns."""
        self._pieces.clear()
        if self._source is not None:
            self._source.abort()

    def feed(self, piece: bytes) -> None:
        """Add a piece of the body; for the connection only."""
        self._pieces.append(piece)
        self.held += len(piece) + _PIECE_OVERHEAD
        if self._waiter is not None:
            _wake(self._waiter)

    def finish(self) -> None:
        """Mark the end of the body; for the connection only."""
        self._ended = True
        self._source = None
        if self._waiter is not None:
            _wake(self._waiter)

    def fail(self, error: UpstreamFailed) -> None:
        """End the body with an error, raised after what had arrived; for the connection only."""
        self._error = error
        self._source = None
        if self._waiter is not None:
            _wake(self._waiter)

    def _take(self) -> bytes:
        pieces = self._pieces
        chunk = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.held = 0
        if self._source is not None:
            self._source.drained()
        return chunk


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _too_long() -> AnswerTooLong:
    return AnswerTooLong("the upstream's answer is longer than allowed", sent=True)
