"""What is sent to an upstream beside the body: nothing of one call is sent with another."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest

from safeconduct.core.errors import Refused
from safeconduct.egress import Transport
from safeconduct.upstreams import Forwarder
from tests.egress.raw import Peer, RawServer, answer

POST = b"content-type: application/json\r\naccept: application/json, text/event-stream\r\n"


class Heard:
    """Answers everything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    async def script(self, peer: Peer) -> None:
        while request := await peer.request():
            self.requests.append(request)
            await peer.send(answer())


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport(allow_loopback=True)
    yield made
    await made.aclose()


def head(server: RawServer, fields: bytes, path: bytes = b"/mcp") -> bytes:
    return (
        b"POST %b HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nuser-agent: safeconduct\r\n"
        b"accept-encoding: identity\r\n%b%bcontent-length: 2\r\n\r\n{}"
        % (path, server.port, POST, fields)
    )


async def test_a_remembered_head_is_never_that_of_another_message(transport: Transport) -> None:
    heard, forwarder = Heard(), Forwarder(transport)
    versions = {None: b"", "2026-07-28": b"2026-07-28", "2025-11-25": b"2025-11-25"}
    sessions = {None: b"", "s1": b"s1", "s2": b"s2", "tools/call": b"tools/call"}
    names, paths = (b"", b"a", b"b", b"s1"), (b"/mcp", b"/other")
    kinds = itertools.product(versions, sessions, (b"", b"tools/call", b"s1"), names, paths)
    async with RawServer(heard.script) as server:
        for version, session, method, name, path in [*kinds] * 2:
            reply = await forwarder.message(
                server.url.replace("/mcp", path.decode()),
                b"{}",
                version=version,
                session=session,
                method=method,
                name=name,
            )
            await reply.read(100)
            expected = [
                (b"mcp-protocol-version", versions[version]),
                (b"mcp-session-id", sessions[session]),
                (b"mcp-method", method),
                (b"mcp-name", name),
            ]
            lines = b"".join(b"%b: %b\r\n" % pair for pair in expected if pair[1])
            assert heard.requests.pop() == head(server, lines, path)


async def test_mirrored_parameters_go_with_their_own_call_alone(transport: Transport) -> None:
    heard, forwarder = Heard(), Forwarder(transport)

    async def send(*params: tuple[bytes, bytes]) -> bytes:
        reply = await forwarder.message(
            server.url, b"{}", version=None, method=b"tools/call", name=b"t", params=params
        )
        await reply.read(100)
        return heard.requests.pop()

    plain = b"mcp-method: tools/call\r\nmcp-name: t\r\n"
    async with RawServer(heard.script) as server:
        for _ in range(2):
            mirrored = await send((b"mcp-param-city", b"Bern"), (b"mcp-param-x", b"1"))
            assert mirrored == head(server, plain + b"mcp-param-city: Bern\r\nmcp-param-x: 1\r\n")
            assert await send() == head(server, plain)
            assert await send((b"mcp-param-city", b"Rome")) == head(
                server, plain + b"mcp-param-city: Rome\r\n"
            )


@pytest.mark.requirement("SEC-61")
async def test_a_line_end_is_refused_after_a_good_head_was_remembered(
    transport: Transport,
) -> None:
    heard, forwarder = Heard(), Forwarder(transport)
    async with RawServer(heard.script) as server:
        for name in (b"good", b"bad\r\nx: y", b"good", b"bad\r\nx: y", b"bad\x00"):
            if name == b"good":
                await (await forwarder.message(server.url, b"{}", version=None, name=name)).read(9)
                continue
            with pytest.raises(Refused):
                await forwarder.message(server.url, b"{}", version=None, name=name)
            with pytest.raises(Refused):
                await forwarder.message(
                    server.url, b"{}", version=None, name=b"good", params=((b"mcp-param-x", name),)
                )
            with pytest.raises(Refused):
                await forwarder.message(
                    server.url, b"{}", version=None, name=b"good", session=name.decode()
                )
        assert len(heard.requests) == 2


def close(forwarder: Forwarder, name: bytes, session: str | None = None) -> None:
    """Make a message that nobody sends."""
    forwarder.message("http://127.0.0.1/", b"", version=None, name=name, session=session).close()


async def test_the_memory_of_heads_is_bounded_in_number_and_in_length(
    transport: Transport,
) -> None:
    forwarder = Forwarder(transport)
    for number in range(3000):
        close(forwarder, b"n%d" % number)
        close(forwarder, b"n", session=f"s{number}")
        close(forwarder, b"l" * 2000 + b"%d" % number)

    assert len(forwarder._kept) == 1024
    assert sum(len(fields.lines) for fields in forwarder._kept.values()) <= 1 << 20
    assert not any(key[3].startswith(b"ll") for key in forwarder._kept)


async def test_many_at_once_are_each_sent_with_their_own_head(transport: Transport) -> None:
    heard, forwarder = Heard(), Forwarder(transport)
    async with RawServer(heard.script) as server:

        async def one(name: bytes) -> None:
            reply = await forwarder.message(
                server.url, b'"%b"' % name, version=None, method=b"m", name=name
            )
            await reply.read(100)

        await asyncio.gather(*(one(b"%d" % (number % 7)) for number in range(70)))

    assert len(heard.requests) == 70
    for request in heard.requests:
        fields, _, body = request.partition(b"\r\n\r\n")
        assert b"mcp-name: " + body.strip(b'"') + b"\r\n" in fields
