"""A server made of sockets, for answers that no HTTP library would give."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

_PATIENCE_SECONDS = 10.0


class Peer:
    """The server's side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def request(self) -> bytes:
        """Read one request; b"" when the client has closed."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return head + await self._reader.readexactly(length)

    async def head(self) -> bytes:
        """Read a request's head, and leave its body unread."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def send_now(self, data: bytes) -> None:
        """Put bytes on the wire without giving the loop a turn."""
        os.write(self._writer.get_extra_info("socket").fileno(), data)

    def poison(self, data: bytes) -> None:
        """The same, if the connection is still there."""
        if not self._writer.is_closing():
            with contextlib.suppress(OSError):
                self.send_now(data)

    def send_eof(self) -> None:
        self._writer.write_eof()

    def cut(self) -> None:
        """Close without another word: a reset, or TLS without close_notify."""
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client has closed."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            try:
                while await self._reader.read(65536):
                    pass
            except ConnectionError:
                pass

    async def gone_within(self, seconds: float) -> bool:
        """Whether the client closes before the time is over; what it sends is dropped."""
        try:
            async with asyncio.timeout(seconds):
                await self.gone()
        except TimeoutError:
            return False
        return True


class RawServer:
    """Runs a script for each connection, and keeps what it was asked."""

    def __init__(
        self, script: Callable[[Peer], Awaitable[None]], *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._script = script
        self._tls = tls
        self.connections = 0
        self.ended = asyncio.Queue[None]()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    async def finished(self) -> None:
        """Wait until a connection's script has come to its end."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await self.ended.get()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._script(Peer(reader, writer))
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            self.ended.put_nowait(None)
            writer.close()


def answer(body: bytes = b"{}", *, status: str = "200 OK", extra: bytes = b"") -> bytes:
    """A well-formed response."""
    length = len(body)
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n%b" % (
        status.encode(),
        length,
        extra,
        body,
    )


def always(*responses: bytes) -> Callable[[Peer], Awaitable[None]]:
    """A script: each request gets the next response, the last one again and again."""

    async def script(peer: Peer) -> None:
        number = 0
        while await peer.request():
            await peer.send(responses[min(number, len(responses) - 1)])
            number += 1

    return script
