"""What people send who have shown nothing yet, in bounds, to see what it costs the others.

Each function takes the address of a gateway and returns what became of it. They hold no opinion:
whoever runs them looks at the gateway's memory, and at what calls beside them take.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

from safeconduct.core.model import Value

_PIECE_BYTES = 64 * 1024
_STALLED_SECONDS = 1.0  # without a byte being taken, nothing more will be
_SOCKET_BYTES = 64 * 1024  # that the kernel may keep for us, so that what counts is the gateway
_AT_ONCE = 100


class Address(Value, frozen=True):
    """Where a gateway listens, and the Host field of a host of it."""

    host: str
    port: int
    authority: str


class Sent(Value, frozen=True):
    """How much was sent, how much of it was taken before nothing more was, and in what time."""

    offered_bytes: int
    taken_bytes: int
    seconds: float


class Opened(Value, frozen=True):
    """How many connections were tried, and how many of them stayed open."""

    tried: int
    stayed: int


async def pipeline(
    address: Address, *, request: bytes | None = None, mebibytes: float = 26.0
) -> Sent:
    """Send one request after the other on one connection, and never look at an answer.

    Args:
        address: The gateway's.
        request: What to send again and again; a small one that is refused, by default.
        mebibytes: How much to send at most.
    """
    small = f"GET /mcp HTTP/1.1\r\nhost: {address.authority}\r\n\r\n".encode()
    one = request or small
    piece = one * max(1, _PIECE_BYTES // len(one))
    offered = int(mebibytes * 2**20)
    began, taken = time.monotonic(), 0
    loop = asyncio.get_running_loop()
    with _quiet_socket(address) as ours:
        await loop.sock_connect(ours, (address.host, address.port))
        try:
            while taken < offered:
                async with asyncio.timeout(_STALLED_SECONDS):
                    await loop.sock_sendall(ours, piece)
                taken += len(piece)
        except (TimeoutError, ConnectionError):
            pass
    seconds = time.monotonic() - began
    return Sent(offered_bytes=offered, taken_bytes=taken, seconds=seconds)


@contextlib.asynccontextmanager
async def idle(address: Address, count: int) -> AsyncIterator[Opened]:
    """Hold connections open that say nothing; yields how many the gateway let stand."""
    lines: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    try:
        while len(lines) < count:
            more = min(_AT_ONCE, count - len(lines))
            opening = (asyncio.open_connection(address.host, address.port) for _ in range(more))
            lines += await asyncio.gather(*opening)
        await asyncio.sleep(_STALLED_SECONDS)  # for the gateway to turn away whom it will
        gone = [await _turned_away(reader) for reader, _ in lines]
        yield Opened(tried=count, stayed=count - sum(gone))
    finally:
        for _, writer in lines:
            await _hang_up(writer)


async def large_heads(address: Address, *, connections: int, each: int = 8) -> int:
    """Send heads of nearly 64 KiB, all different and with a token that is none; returns how many.

    Their connections stay open until all were sent.
    """
    filler = "y" * 60_000
    sent = 0
    async with contextlib.AsyncExitStack() as stack:
        for number in range(connections):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            stack.push_async_callback(_hang_up, writer)
            for turn in range(each):
                head = (
                    f"POST /mcp HTTP/1.1\r\nhost: {address.authority}\r\nx-{number}-{turn}: "
                    f"{filler}\r\nauthorization: Bearer none-{number}-{turn}\r\n"
                    "content-length: 2\r\n\r\n{}"
                )
                writer.write(head.encode())
                await writer.drain()
                await reader.readuntil(b"\r\n\r\n")
                sent += 1
    return sent


async def ask(address: Address, path: str, *, authority: str | None = None) -> tuple[int, float]:
    """Ask once on a connection of its own; returns the status and the seconds it took."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        host = address.authority if authority is None else authority
        writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        line = await reader.readline()
        return int(line.split(b" ")[1]), time.monotonic() - began
    finally:
        await _hang_up(writer)


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _quiet_socket(address: Address) -> socket.socket:
    """Make a socket for which the kernel keeps little, in either direction."""
    quiet = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    quiet.settimeout(0)
    quiet.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
    quiet.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BYTES)
    return quiet


async def _turned_away(reader: asyncio.StreamReader) -> bool:
    """Tell whether a connection was ended, or answered before anything was asked."""
    try:
        async with asyncio.timeout(0):
            await reader.read(1)
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True
