"""A stretch of network between a node and its database, which can fail the two ways networks do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

_PIECE = 64 * 1024
Failure = Literal["stalls", "breaks"]


class Forwarder:
    """Passes TCP connections on to a port of this machine, unless it is told to fail."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._passing = asyncio.Event()
        self._passing.set()
        self._broken = False
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    def fail(self, how: Failure) -> None:
        """Stall: everything stays connected and nothing arrives. Break: all is cut and refused."""
        if how == "stalls":
            self._passing.clear()
        else:
            self._broken = True
            for writer in self._writers:
                writer.transport.abort()

    def heal(self) -> None:
        self._broken = False
        self._passing.set()

    async def connected(
        self, near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter
    ) -> None:
        """Carry one connection until either side ends it."""
        if self._broken:
            near_writer.transport.abort()
            return
        await self._passing.wait()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        pair = {near_writer, far_writer}
        self._writers |= pair
        try:
            await asyncio.wait(
                {
                    asyncio.ensure_future(self._carry(near_reader, far_writer)),
                    asyncio.ensure_future(self._carry(far_reader, near_writer)),
                },
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            self._writers -= pair
            for writer in pair:
                writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE):
                await self._passing.wait()
                writer.write(piece)
                await writer.drain()


@asynccontextmanager
async def forwarding(to: int) -> AsyncIterator[Forwarder]:
    """Forward until left."""
    forwarder = Forwarder(to)
    server = await asyncio.start_server(forwarder.connected, "127.0.0.1", 0)
    forwarder.port = server.sockets[0].getsockname()[1]
    try:
        yield forwarder
    finally:
        server.close()
        forwarder.heal()
        forwarder.fail("breaks")
