"""Whose answer it is: nothing that came before a request was written is ever its answer."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from safeconduct.egress import Limits, Transport, UpstreamFailed
from safeconduct.egress.wire import Connection
from tests.egress.certificates import Authority
from tests.egress.raw import Peer, RawServer, always, answer

LIMIT = 1 << 23
EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport(allow_loopback=True)
    yield made
    await made.aclose()


async def ask(transport: Transport, url: str, body: bytes = b"{}") -> bytes:
    reply = await transport.exchange(url, body=body)
    return await reply.read(LIMIT)


def interjected(peer: Peer, data: bytes) -> Callable[[], None]:
    return lambda: peer.send_now(data) if data else peer.send_eof()


@pytest.mark.parametrize(
    "data",
    [answer(b"poison"), answer(b"poison")[:9], EARLY, CONTINUE, b"\r\n", b""],
    ids=["answer", "part of one", "103", "100", "blank line", "end"],
)
async def test_what_comes_between_choosing_a_connection_and_writing_is_no_answer(
    transport: Transport, data: bytes
) -> None:
    peers: list[Peer] = []
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        while request := await peer.request():
            seen.append(request.rpartition(b"\r\n\r\n")[2])
            await peer.send(answer(seen[-1]))

    async with RawServer(script) as server:
        assert await ask(transport, server.url, b"1") == b"1"
        second = asyncio.ensure_future(ask(transport, server.url, b"2"))
        # Its turn comes after the one in which a connection is taken, and before the write.
        asyncio.get_running_loop().call_soon(interjected(peers[0], data))

        assert await second == b"2"
        assert await ask(transport, server.url, b"3") == b"3"
        assert server.connections == 2
        assert seen == [b"1", b"2", b"3"], "each request arrives once"


async def test_a_new_connection_that_speaks_first_is_refused_with_nothing_sent(
    transport: Transport,
) -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        peer.send_now(answer(b"poison"))
        seen.append(await peer.request())

    async with RawServer(script) as server:
        for _ in range(3):
            with pytest.raises(UpstreamFailed) as caught:
                await ask(transport, server.url)
            assert not caught.value.sent
            await server.finished()
        assert server.connections == 3, "a fault of new connections is not tried for ever"
        assert seen == [b""] * 3


async def test_over_tls_what_comes_before_the_write_is_no_answer(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        while request := await peer.request():
            await peer.send(answer(request.rpartition(b"\r\n\r\n")[2]))

    async def local(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    transport = Transport(allow_loopback=True, tls=authority.trusting(), resolve=local)
    async with RawServer(script, tls=authority.serving("upstream.test")) as server:
        url = f"https://upstream.test:{server.port}/mcp"
        for number in range(3):
            body = b"%d" % number
            assert await ask(transport, url, body) == body
            again = asyncio.ensure_future(ask(transport, url, b"again"))
            # Over TLS a write of the peer's is encrypted and sent at once where nothing waits.
            asyncio.get_running_loop().call_soon(peers[-1]._writer.write, answer(b"poison"))
            with_poison = await again
            assert with_poison == b"again"
    await transport.aclose()


def pieces(kind: int, name: bytes) -> list[bytes]:
    """What a server of many faults writes for a request, each in a packet of its own."""
    faults = [
        [answer(name) + answer(b"twice " + name)],
        [answer(name), answer(b"once more " + name)],
        [EARLY + CONTINUE + answer(name)],
        [answer(name) + EARLY],
    ]
    return faults[kind] if kind < len(faults) else [answer(name)]


@pytest.mark.slow
async def test_a_server_that_answers_twice_or_early_never_gives_one_callers_answer_to_another(
    transport: Transport,
) -> None:
    """Every answer names the request it is for; whoever gets one gets their own, or an error."""
    chance = random.Random(7)
    peers: list[Peer] = []
    outcomes: list[tuple[bytes, bytes]] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        while request := await peer.request():
            for piece in pieces(chance.randrange(6), request.rpartition(b"\r\n\r\n")[2]):
                peer.send_now(piece)

    async def caller(server: RawServer, names: range) -> None:
        for number in names:
            name = b"%d" % number
            with contextlib.suppress(UpstreamFailed):
                outcomes.append((name, await ask(transport, server.url, name)))
            if chance.random() < 0.2:
                peers[chance.randrange(len(peers))].poison(answer(b"poison"))

    async with RawServer(script) as server, asyncio.TaskGroup() as group:
        for first in range(0, 1000, 40):
            group.create_task(caller(server, range(first, first + 40)))
    # What a server says after the request was written is its answer, if a bad one; the right
    # one, which comes after it, is nobody's.
    assert all(got in {name, b"poison"} for name, got in outcomes)
    assert len(outcomes) > 900, "most calls are served all the same"


@pytest.mark.parametrize("status", ["413 Too Large", "401 Unauthorized", "200 OK"])
async def test_an_answer_during_the_body_is_passed_on_and_the_connection_closed(
    transport: Transport, status: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer(b"no", status=status))
        await peer.gone()

    async with RawServer(script) as server:
        for number in (1, 2):
            reply = await transport.exchange(server.url, body=b"x" * (1 << 23))
            assert (reply.status, await reply.read(LIMIT)) == (int(status[:3]), b"no")
            await server.finished()
            assert server.connections == number


async def test_answers_that_wait_for_their_turn_keep_their_order_over_one_connection() -> None:
    limits = Limits(connections=1, waiting=100)
    transport = Transport(limits=limits, allow_loopback=True)

    async def script(peer: Peer) -> None:
        while request := await peer.request():
            await peer.send(CONTINUE + EARLY + answer(request.rpartition(b"\r\n\r\n")[2]))

    async with RawServer(script) as server:
        asked = [b"%d" % number for number in range(50)]
        got = await asyncio.gather(*[ask(transport, server.url, each) for each in asked])
        assert got == asked
        assert server.connections == 1
    await transport.aclose()


async def test_an_idle_connection_that_hears_anything_is_gone(transport: Transport) -> None:
    async with RawServer(always(answer())) as server:
        await ask(transport, server.url)
        (pool,) = transport._pools.values()
        (connection,) = pool._all
        assert isinstance(connection, Connection)
        connection.data_received(EARLY)

        assert connection.closed
        assert not pool._all
