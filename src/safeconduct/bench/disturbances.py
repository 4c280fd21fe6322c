"""What one caller, or a stranger, can do to a gateway: `python -m safeconduct.bench.disturbances`.

Reads an order as JSON from standard input, disturbs until the time is over, and prints what was
done. Everything goes to one address on loopback, from another one, and is bounded in number
and time.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from urllib.parse import urlsplit

import msgspec
import uvloop

from safeconduct.core.model import Value

SOURCE = "127.0.0.2"  # so that limits by address tell who disturbs from who does not
_MANY_STREAMS = 400
_MANY_CALLS = 400
_MANY_CONNECTIONS = 1500
_PIPELINED_BYTES = 8 * 1024 * 1024
_LARGE_BYTES = 3_500_000
_NESTED_BYTES = 60_000


class Order(Value, frozen=True):
    """What to do.

    Attributes:
        kind: A name of `DISTURBANCES`.
        url: The MCP endpoint to aim at.
        tokens: Of the person who disturbs, one a session.
        headers: Of a well-formed request, without its bearer and without what names a method.
        seconds: For how long.
    """

    kind: str
    url: str
    tokens: tuple[str, ...]
    headers: dict[str, str]
    meta: str
    seconds: float


class Done(Value, frozen=True):
    """What was done: how many requests or connections, and how many were answered, by status."""

    attempts: int
    answers: dict[str, int]


class Disturber:
    """Sends requests and counts what comes of them."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.attempts = 0
        self.answers: dict[str, int] = {}
        parts = urlsplit(order.url)
        self.host, self.port, self.path = parts.hostname or "", parts.port or 80, parts.path
        self._tokens = itertools.cycle(order.tokens or ("",))
        self.until = time.monotonic() + order.seconds

    def goes_on(self) -> bool:
        return time.monotonic() < self.until

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Open a connection; one that cannot be opened counts as an answer."""
        self.attempts += 1
        try:
            reader, writer = await asyncio.open_connection(
                self.host, self.port, local_addr=(SOURCE, 0)
            )
        except OSError as error:
            self.count(type(error).__name__)
            raise Gone from error
        try:
            yield reader, writer
        except (OSError, asyncio.IncompleteReadError) as error:
            self.count(type(error).__name__)
            raise Gone from error
        finally:
            writer.transport.abort()

    def request(
        self, method: str, params: str, *, name: str = "", token: str | None = None
    ) -> bytes:
        """Return a request as bytes."""
        body = (
            f'{{"jsonrpc":"2.0","id":7,"method":"{method}",'
            f'"params":{{{params}{"," if params else ""}{self.order.meta}}}}}'
        ).encode()
        bearer = next(self._tokens) if token is None else token
        named = {"mcp-name": name} if name else {}
        headers = {
            "host": f"{self.host}:{self.port}",
            **self.order.headers,
            "mcp-method": method,
            **named,
            "authorization": f"Bearer {bearer}",
            "content-length": str(len(body)),
        }
        head = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body

    def count(self, answer: str) -> None:
        self.answers[answer] = self.answers.get(answer, 0) + 1

    async def ask(self, request: bytes) -> None:
        """Send one request again and again on a connection, each when the last was answered."""
        while self.goes_on():
            with contextlib.suppress(Gone):
                async with self.connection() as (reader, writer):
                    await self._ask_on(reader, writer, request)
            await asyncio.sleep(0.01)

    async def _ask_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> None:
        while self.goes_on():
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            self.count(head[9:12].decode("latin-1"))
            length = _length(head)
            if length is None:
                return
            await reader.readexactly(length)
            self.attempts += 1

    async def hold(self, request: bytes) -> None:
        """Send one request and keep the connection, whatever is answered."""
        with contextlib.suppress(Gone):
            async with self.connection() as (reader, writer):
                if request:
                    writer.write(request)
                    head = await self.within(reader.readuntil(b"\r\n\r\n"))
                    self.count(head[9:12].decode("latin-1") if head else "no answer")
                await asyncio.sleep(max(0.0, self.until - time.monotonic()))

    async def within(self, coming: Awaitable[bytes]) -> bytes:
        """Wait as long as there is time; nothing is an answer too."""
        try:
            async with asyncio.timeout(max(0.1, self.until - time.monotonic())):
                return await coming
        except TimeoutError:
            return b""


class Gone(Exception):
    """A connection that is no more, or never was."""


async def hold_streams(by: Disturber) -> None:
    """Open many listening streams and keep them."""
    request = by.request("subscriptions/listen", '"notifications":{"toolsListChanged":true}')
    await _many(by.hold(request) for _ in range(_MANY_STREAMS))


async def hold_calls(by: Disturber) -> None:
    """Make many calls that take longer than we wait."""
    params = '"name":"wait_for_item","arguments":{}'
    request = by.request("tools/call", params, name="wait_for_item")
    await _many(by.hold(request) for _ in range(_MANY_CALLS))


async def hold_connections(by: Disturber) -> None:
    """Open many connections and say nothing."""
    await _many(by.hold(b"") for _ in range(_MANY_CONNECTIONS))


async def pipeline_requests(by: Disturber) -> None:
    """Send requests one after the other and read no answer."""
    params = '"name":"search_items","arguments":{"query":"x"}'
    request = by.request("tools/call", params, name="search_items")
    await _many(_pour(by, request) for _ in range(4))


async def send_heads(by: Disturber) -> None:
    """Send heads that are all different, as somebody unknown."""
    await _many(_send_heads(by) for _ in range(8))


async def send_large_bodies(by: Disturber) -> None:
    """Send messages with a large text, as fast as they are answered."""
    text = "x" * _LARGE_BYTES
    await by.ask(_search(by, f'"{text}"'))


async def send_many_values(by: Disturber) -> None:
    """Send messages with as many values as fit, as fast as they are answered."""
    await by.ask(_search(by, "[" + "0," * 90_000 + "0]"))


async def send_nested_arguments(by: Disturber) -> None:
    """Send messages that are nested deeply, as fast as they are answered."""
    deep = "[" * 40 + "]" * 40
    await by.ask(_search(by, "[" + f"{deep}," * (_NESTED_BYTES // 81) + "0]"))


async def ask_for_lists(by: Disturber) -> None:
    """Ask for a list of many tools, as fast as it comes."""
    await by.ask(by.request("tools/list", ""))


async def call_unknown_tools(by: Disturber) -> None:
    """Call a tool that there is not, with 60 KB of arguments."""
    text = "x" * 60_000
    await by.ask(
        by.request("tools/call", f'"name":"no_tool","arguments":{{"a":"{text}"}}', name="no_tool")
    )


def _search(by: Disturber, value: str) -> bytes:
    params = f'"name":"search_items","arguments":{{"query":{value}}}'
    return by.request("tools/call", params, name="search_items")


async def _pour(by: Disturber, request: bytes) -> None:
    batch = request * (64 * 1024 // len(request))
    with contextlib.suppress(Gone):
        async with by.connection() as (_reader, writer):
            sent = 0
            while by.goes_on() and sent < _PIPELINED_BYTES:
                writer.write(batch)
                try:
                    async with asyncio.timeout(max(0.1, by.until - time.monotonic())):
                        await writer.drain()
                except TimeoutError:
                    by.count("not taken")
                    break
                sent += len(batch)
                by.count("64 KiB taken")
            await asyncio.sleep(max(0.0, by.until - time.monotonic()))


async def _send_heads(by: Disturber) -> None:
    for head in _heads(by):
        if not by.goes_on():
            return
        with contextlib.suppress(Gone):
            async with by.connection() as (reader, writer):
                for _ in range(50):
                    writer.write(head())
                    answer = await by.within(reader.readuntil(b"\r\n\r\n"))
                    by.count(answer[9:12].decode("latin-1"))
                    length = _length(answer)
                    if length is None or not by.goes_on():
                        break
                    await reader.readexactly(length)


def _heads(by: Disturber) -> Iterator[Callable[[], bytes]]:
    while True:
        yield lambda: by.request("tools/list", "", token=secrets.token_urlsafe(32) + "x" * 12_000)


def _length(head: bytes) -> int | None:
    """Return how long a body is; None where the connection says no more after it."""
    lower = head.lower()
    if b"connection: close" in lower or b"content-length: " not in lower:
        return None
    return int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0])


async def _many(works: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*works)


DISTURBANCES: dict[str, Callable[[Disturber], Awaitable[None]]] = {
    "streams": hold_streams,
    "slow calls": hold_calls,
    "idle connections": hold_connections,
    "pipelined requests": pipeline_requests,
    "heads": send_heads,
    "large bodies": send_large_bodies,
    "many values": send_many_values,
    "nested arguments": send_nested_arguments,
    "long lists": ask_for_lists,
    "unknown tools": call_unknown_tools,
}


async def _disturb() -> None:
    by = Disturber(msgspec.json.decode(sys.stdin.buffer.read(), type=Order))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(by.order.seconds + 5):
            await DISTURBANCES[by.order.kind](by)
    done = Done(attempts=by.attempts, answers=by.answers)
    sys.stdout.write(msgspec.json.encode(done).decode() + "\n")


if __name__ == "__main__":
    uvloop.run(_disturb())
