"""The token shim in front of a server that records what reaches it."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.conformance.shim import Shim, TokenFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WAIT_SECONDS = 5


class Upstream:
    """Keeps each request's head, answers with half a stream, and notices who hangs up."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.finish = asyncio.Event()
        self.abandoned = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nX-Kept: yes\r\n\r\ndata: one\n\n")
        await writer.drain()
        hung_up = asyncio.ensure_future(reader.read())
        finished = asyncio.ensure_future(self.finish.wait())
        done, _ = await asyncio.wait({hung_up, finished}, return_when=asyncio.FIRST_COMPLETED)
        if hung_up in done:
            self.abandoned.set()
            finished.cancel()
        else:
            writer.write(b"data: two\n\n")
            hung_up.cancel()
        writer.close()


class World:
    """The shim between a raw client and the recording server."""

    def __init__(self, port: int, upstream: Upstream, upstream_port: int, token: Path) -> None:
        self.port = port
        self.upstream = upstream
        self.upstream_port = upstream_port
        self.token = token

    @asynccontextmanager
    async def request(self, head: str) -> AsyncIterator[asyncio.StreamReader]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(head.replace("\n", "\r\n").encode())
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                yield reader
        finally:
            writer.close()

    async def whole(self, head: str) -> bytes:
        async with self.request(head) as reader:
            await reader.readuntil(b"one\n\n")
            self.upstream.finish.set()
            return await reader.read()


@pytest.fixture(params=[False], ids=["plain"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    upstream = Upstream()
    token = tmp_path / "token"
    token.write_text("first\n")
    server = await asyncio.start_server(upstream.answer, "127.0.0.1", 0)
    upstream_port = server.sockets[0].getsockname()[1]
    shim = Shim(
        target=f"http://127.0.0.1:{upstream_port}/mcp/everything",
        token=TokenFile(token),
        own_host=request.param,
    )
    front = await shim.serve(0)
    async with server, front:
        yield World(front.sockets[0].getsockname()[1], upstream, upstream_port, token)


async def test_the_token_replaces_whatever_the_client_sent(world: World) -> None:
    await world.whole("POST /mcp HTTP/1.1\nHost: evil.example\nAuthorization: Basic x\n\n")

    lines = world.upstream.heads[0].split(b"\r\n")
    assert b"Authorization: Bearer first" in lines
    assert b"Authorization: Basic x" not in lines
    assert b"Host: evil.example" in lines


async def test_a_changed_token_file_counts_at_the_next_request(world: World) -> None:
    await world.whole("POST /mcp HTTP/1.1\n\n")
    world.token.write_text("second")
    changed = world.token.stat().st_mtime_ns
    os.utime(world.token, ns=(changed + 1_000_000, changed + 1_000_000))
    await world.whole("POST /mcp HTTP/1.1\n\n")

    assert b"Bearer first\r\n" in world.upstream.heads[0]
    assert b"Bearer second\r\n" in world.upstream.heads[1]


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("/mcp", b"/mcp/everything"),
        ("/mcp?a=1", b"/mcp/everything?a=1"),
        ("/mcpx", b"/mcpx"),
        ("/.well-known/mcp", b"/.well-known/mcp"),
    ],
)
async def test_only_the_endpoint_is_mapped(world: World, asked: str, sent: bytes) -> None:
    await world.whole(f"GET {asked} HTTP/1.1\n\n")

    assert world.upstream.heads[0].startswith(b"GET " + sent + b" HTTP/1.1\r\n")


async def test_a_stream_arrives_while_it_is_still_open(world: World) -> None:
    async with world.request("POST /mcp HTTP/1.1\n\n") as reader:
        first = await reader.readuntil(b"one\n\n")
        assert not world.upstream.finish.is_set()
        world.upstream.finish.set()
        rest = await reader.read()

    assert first.startswith(b"HTTP/1.1 200 OK\r\nX-Kept: yes\r\n")
    assert rest == b"data: two\n\n"


async def test_a_client_that_hangs_up_ends_the_upstream_request(world: World) -> None:
    async with world.request("POST /mcp HTTP/1.1\n\n") as reader:
        await reader.readuntil(b"one\n\n")

    async with asyncio.timeout(WAIT_SECONDS):
        await world.upstream.abandoned.wait()


async def test_its_own_name_goes_through_as_the_client_wrote_it(world: World) -> None:
    await world.whole(f"GET /mcp HTTP/1.1\nHost: localhost:{world.port}\n\n")

    assert f"Host: localhost:{world.port}\r\n".encode() in world.upstream.heads[0]


@pytest.mark.parametrize("world", [True], indirect=True, ids=["own-host"])
async def test_it_can_stand_for_the_target_by_name_but_only_itself(world: World) -> None:
    await world.whole(f"GET /mcp HTTP/1.1\nHost: localhost:{world.port}\n\n")
    await world.whole("GET /mcp HTTP/1.1\nHost: evil.example\nOrigin: http://evil.example\n\n")

    assert f"Host: 127.0.0.1:{world.upstream_port}\r\n".encode() in world.upstream.heads[0]
    assert b"Host: evil.example\r\n" in world.upstream.heads[1]
    assert b"Origin: http://evil.example\r\n" in world.upstream.heads[1]
