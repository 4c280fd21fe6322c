"""A loopback proxy that adds a bearer token, for test tools that cannot send one themselves.

`python -m tests.conformance.shim --listen 0 --to http://localhost:8420/mcp/x --token-file F`
prints `ready http://localhost:PORT/mcp`; that path stands for the target's. Everything but
`Authorization` and `Connection` goes through as it came, `Host` and `Origin` included, and
bytes are passed on as they arrive. One connection carries one exchange, so that either side
hanging up ends the other. The token is read again whenever its file changes.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Coroutine

_HEAD_LIMIT = 64 * 1024
_CHUNK = 64 * 1024
_HOP = {b"authorization", b"connection", b"keep-alive", b"proxy-connection"}


class TokenFile:
    """The token in a file, fresh after each change of the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = -1
        self._token = b""

    def read(self) -> bytes:
        changed = self._path.stat().st_mtime_ns
        if changed != self._changed:
            self._token = self._path.read_bytes().strip()
            self._changed = changed
        return self._token


class Shim:
    """Forwards each exchange to one target.

    With `own_host`, requests that name the shim itself as Host or Origin name the target
    instead, and only those: a foreign name still arrives, to be refused there.
    """

    def __init__(self, *, target: str, token: TokenFile, own_host: bool = False) -> None:
        self._target = urlsplit(target)
        self._token = token
        self._own_host = own_host

    async def serve(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._exchange, "127.0.0.1", port, limit=_HEAD_LIMIT)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        with closing(writer):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                there, back = await asyncio.open_connection(
                    self._target.hostname, self._target.port, limit=_HEAD_LIMIT
                )
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
                return
            with closing(back):
                back.write(self._rewritten(head, port))
                await _first(_pipe(reader, back), _answer(there, writer))

    def _rewritten(self, head: bytes, port: int) -> bytes:
        line, *headers = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        method, path, version = line.split(b" ", 2)
        mapped = self._target.path.encode() if _is_endpoint(path) else b""
        rest = path.removeprefix(b"/mcp") if mapped else path
        line = b" ".join((method, mapped + rest, version))
        kept = [self._renamed(header, port) for header in headers if _name(header) not in _HOP]
        added = [b"Authorization: Bearer " + self._token.read(), b"Connection: close"]
        return b"\r\n".join((line, *kept, *added)) + b"\r\n\r\n"

    def _renamed(self, header: bytes, port: int) -> bytes:
        if not self._own_host or _name(header) not in {b"host", b"origin"}:
            return header
        for own in (f"localhost:{port}", f"127.0.0.1:{port}"):
            if header.endswith(own.encode()):
                return header.removesuffix(own.encode()) + self._target.netloc.encode()
        return header


def _is_endpoint(path: bytes) -> bool:
    return path == b"/mcp" or path.startswith((b"/mcp?", b"/mcp/"))


def _name(header: bytes) -> bytes:
    return header.partition(b":")[0].lower()


async def _answer(there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass the answer on, saying in it that this connection will not be used again."""
    head = await there.readuntil(b"\r\n\r\n")
    line, *headers = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    kept = [header for header in headers if _name(header) not in {b"connection", b"keep-alive"}]
    writer.write(b"\r\n".join((line, *kept, b"Connection: close")) + b"\r\n\r\n")
    await _pipe(there, writer)


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while chunk := await source.read(_CHUNK):
        sink.write(chunk)
        await sink.drain()
    await sink.drain()


async def _first(*halves: Coroutine[None, None, None]) -> None:
    """Run both directions until one ends: the answer is complete, or somebody hung up."""
    tasks = [asyncio.ensure_future(half) for half in halves]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.shim")
    parser.add_argument("--listen", type=int, default=0)
    parser.add_argument("--to", required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--own-host", action="store_true")
    options = parser.parse_args()
    token = TokenFile(options.token_file)
    shim = Shim(target=options.to, token=token, own_host=options.own_host)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await shim.serve(options.listen)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"ready http://localhost:{port}/mcp\n")
    sys.stdout.flush()
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
