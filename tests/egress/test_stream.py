"""The upstream transport against well-behaved, broken and hostile servers."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from safeconduct.core.errors import Code
from safeconduct.egress import Limits, Resolve, Transport, UpstreamFailed, UpstreamTimeout
from safeconduct.egress.pool import Pool
from safeconduct.egress.wire import _HEAD, Connection
from tests.egress.certificates import Authority
from tests.egress.raw import Peer, RawServer, always, answer

OK = b"HTTP/1.1 200 OK\r\n"
LIMIT = 1 << 20


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport(allow_loopback=True)
    yield made
    await made.aclose()


@pytest.fixture
async def hasty() -> AsyncIterator[Transport]:
    """Short limits, one connection."""
    limits = Limits(
        connect_seconds=0.2, head_seconds=0.2, idle_seconds=0.2, connections=1, waiting=1
    )
    made = Transport(limits=limits, allow_loopback=True)
    yield made
    await made.aclose()


async def ask(transport: Transport, url: str, body: bytes = b"{}") -> bytes:
    reply = await transport.exchange(url, body=body)
    return await reply.read(LIMIT)


async def test_a_reply_has_status_headers_and_body(transport: Transport) -> None:
    async with RawServer(always(answer(b'{"a":1}', extra=b"Mcp-Session-Id:  s1 \r\n"))) as server:
        reply = await transport.exchange(server.url)

        assert reply.status == 200
        assert reply.header(b"mcp-session-id") == b"s1"
        assert reply.header(b"x-absent") is None
        assert await reply.read(LIMIT) == b'{"a":1}'
        assert await reply.read(LIMIT) == b""


async def test_exchanges_share_one_connection(transport: Transport) -> None:
    bodies = []

    async def script(peer: Peer) -> None:
        while request := await peer.request():
            bodies.append(request.partition(b"\r\n\r\n")[2])
            await peer.send(answer())

    async with RawServer(script) as server:
        for number in range(5):
            await ask(transport, server.url, b"%d" % number)

        assert server.connections == 1
        assert bodies == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (
            OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3;x=y\r\n yo\r\n0\r\nT: x\r\n\r\n",
            b"hi yo",
        ),
        (OK + b"Transfer-Encoding: Chunked \r\n\r\n0\r\n\r\n", b""),
        (OK + b"Content-Length: 0\r\n\r\n", b""),
        (OK + b"Content-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", b""),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\nhi",
            b"hi",
        ),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 8 + OK + b"Content-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", b"hi"),
    ],
)
async def test_every_framing_of_the_standard_is_read_and_the_connection_kept(
    transport: Transport, response: bytes, body: bytes
) -> None:
    """RFC 9112 section 6.3."""
    async with RawServer(always(response)) as server:
        assert await ask(transport, server.url) == body
        assert await ask(transport, server.url) == body
        assert server.connections == 1


async def test_headers_of_an_interim_response_are_not_the_answers(transport: Transport) -> None:
    early = b"HTTP/1.1 103 Early\r\nMcp-Session-Id: forged\r\n\r\n"
    async with RawServer(always(early + answer())) as server:
        reply = await transport.exchange(server.url)

        assert reply.header(b"mcp-session-id") is None
        assert await reply.read(LIMIT) == b"{}"


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
async def test_a_body_that_ends_with_the_connection_is_accepted(
    transport: Transport, version: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(version + b" 200 OK\r\n\r\nall of it")
        peer.send_eof()
        await peer.gone()

    async with RawServer(script) as server:
        assert await ask(transport, server.url) == b"all of it"
        await server.finished()
        assert await ask(transport, server.url) == b"all of it"
        assert server.connections == 2


HOSTILE_HEADS = {
    "both-framings": OK
    + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "both-framings-other-order": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi",
    "two-lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
    "list-of-lengths": OK + b"Content-Length: 2, 2\r\n\r\nhi",
    "negative-length": OK + b"Content-Length: -1\r\n\r\n",
    "signed-length": OK + b"Content-Length: +2\r\n\r\nhi",
    "garbage-length": OK + b"Content-Length: two\r\n\r\nhi",
    "empty-length": OK + b"Content-Length: \r\n\r\nhi",
    "huge-length": OK + b"Content-Length: 99999999999999999999999\r\n\r\nhi",
    "unknown-coding": OK + b"Transfer-Encoding: gzip\r\n\r\nhi",
    "stacked-coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "chunked-in-1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "gzip": OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi",
    "identity-and-br": OK + b"Content-Encoding: identity, br\r\nContent-Length: 2\r\n\r\nhi",
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    "bare-lf-at-the-end": OK + b"Content-Length: 2\r\n\nhi",
    "bare-cr": OK + b"A: b\rc\r\nContent-Length: 2\r\n\r\nhi",
    "folded": OK + b"A: b\r\n c\r\nContent-Length: 2\r\n\r\nhi",
    "space-before-colon": OK + b"Content-Length : 2\r\n\r\nhi",
    "nul-in-value": OK + b"A: b\x00c\r\nContent-Length: 2\r\n\r\nhi",
    "nul-in-name": OK + b"A\x00: c\r\nContent-Length: 2\r\n\r\nhi",
    "status-99": b"HTTP/1.1 99 Low\r\nContent-Length: 2\r\n\r\nhi",
    "status-099": b"HTTP/1.1 099 Low\r\nContent-Length: 2\r\n\r\nhi",
    "status-600": b"HTTP/1.1 600 High\r\nContent-Length: 2\r\n\r\nhi",
    "status-1000": b"HTTP/1.1 1000 High\r\nContent-Length: 2\r\n\r\nhi",
    "status-000": b"HTTP/1.1 000 None\r\nContent-Length: 2\r\n\r\nhi",
    "http-2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "http-0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "not-http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a-request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    "switching-plain": b"HTTP/1.1 101 Switching\r\n\r\n",
    "continue-storm": b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + OK + b"Content-Length: 2\r\n\r\nhi",
    "header-flood": OK + b"".join(b"X-%d: y\r\n" % n for n in range(201)) + b"\r\n",
    "long-line": OK + b"X: " + b"y" * 17_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "large-head": OK + b"".join(b"X: " + b"y" * 8000 + b"\r\n" for _ in range(9)) + b"\r\n",
    "no-answer": b"",
    "half-a-head": OK + b"Content-Le",
}


@pytest.mark.requirement("SEC-64", "P-29")
@pytest.mark.parametrize("response", HOSTILE_HEADS.values(), ids=HOSTILE_HEADS.keys())
async def test_an_ambiguous_or_oversized_head_is_refused_and_the_connection_closed(
    transport: Transport, response: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(response)
        peer.send_eof()
        await peer.gone()

    async with RawServer(script) as server:
        with pytest.raises(UpstreamFailed) as caught:
            await transport.exchange(server.url)

        assert caught.value.code is Code.UPSTREAM_FAILED
        assert caught.value.sent
        assert "127.0.0.1" not in caught.value.public
        await server.finished()


HOSTILE_BODIES = {
    "short": OK + b"Content-Length: 10\r\n\r\nhi",
    "nothing": OK + b"Content-Length: 10\r\n\r\n",
    "chunk-cut": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhi",
    "last-chunk-missing": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
    "trailer-cut": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: x\r\n",
    "chunk-size-garbage": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n",
    "chunk-size-negative": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n-2\r\n",
    "chunk-bare-lf": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\n0\r\n\r\n",
    "chunk-size-overflow": OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n",
    "length-in-trailer": OK
    + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nContent-Length: 1\r\n\r\n",
    "trailer-flood": OK
    + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"
    + b"T: x\r\n" * 300
    + b"\r\n",
    "endless-trailer": OK
    + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: "
    + b"x" * 400_000,
    "endless-extension": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n2;" + b"x" * 400_000,
}


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("response", HOSTILE_BODIES.values(), ids=HOSTILE_BODIES.keys())
async def test_a_body_that_does_not_arrive_whole_is_an_error(
    transport: Transport, response: bytes, reset: bool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(response)
        if reset:
            peer.cut()
            return
        peer.send_eof()
        await peer.gone()

    async with RawServer(script) as server:
        with pytest.raises(UpstreamFailed) as caught:
            await ask(transport, server.url)

        assert caught.value.sent
        await server.finished()


async def test_a_reset_before_the_head_is_an_error_and_nothing_is_sent_twice(
    transport: Transport,
) -> None:
    requests = []

    async def script(peer: Peer) -> None:
        requests.append(await peer.request())
        peer.cut()

    async with RawServer(script) as server:
        with pytest.raises(UpstreamFailed) as caught:
            await transport.exchange(server.url)

        assert caught.value.sent
        assert len(requests) == 1
        assert server.connections == 1


@pytest.mark.requirement("P-29")
async def test_an_upstream_that_never_answers_times_out(hasty: Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with RawServer(script) as server:
        with pytest.raises(UpstreamTimeout) as caught:
            await hasty.exchange(server.url)

        assert caught.value.code is Code.UPSTREAM_TIMEOUT
        assert caught.value.sent
        await server.finished()


async def test_a_dripping_head_does_not_move_the_deadline(hasty: Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        while not await peer.gone_within(0.05):
            await peer.send(b"X: y\r\n")

    async with RawServer(script) as server:
        with pytest.raises(UpstreamTimeout):
            await hasty.exchange(server.url)
        await server.finished()


@pytest.mark.requirement("P-29")
async def test_a_body_that_stops_times_out_after_what_had_arrived(hasty: Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        await peer.gone()

    async with RawServer(script) as server:
        reply = await hasty.exchange(server.url)
        stream = aiter(reply)

        assert await anext(stream) == b"hi"
        with pytest.raises(UpstreamTimeout):
            await anext(stream)
        await server.finished()


@pytest.mark.requirement("SEC-64")
@pytest.mark.parametrize(
    "start",
    [
        OK + b"X: ",
        b"HTTP/1.1 200 ",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: ",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2;",
        OK + b"Content-Length: 100000000\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5F5E100\r\n",
        OK + b"\r\n",
    ],
    ids=["header", "reason", "trailer", "extension", "length", "chunk", "until-close"],
)
async def test_a_hundred_megabytes_are_refused_in_bounded_memory(
    transport: Transport, start: bytes
) -> None:
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(start)
        for _ in range(1600):
            await peer.send(b"x" * 65536)
            sent += 65536

    async with RawServer(script) as server:
        tracemalloc.start()
        try:
            with pytest.raises(UpstreamFailed):
                await ask(transport, server.url)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        await server.finished()

    assert peak < 8 << 20
    assert sent < 50 << 20


@pytest.mark.requirement("GW-10", "SEC-64")
async def test_an_unread_body_makes_the_upstream_wait_and_arrives_whole_later(
    transport: Transport,
) -> None:
    size = 32 << 20
    blocked = asyncio.Event()
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(OK + b"Content-Length: %d\r\n\r\n" % size)
        while sent < size:
            writing = asyncio.ensure_future(peer.send(b"x" * 65536))
            done, _ = await asyncio.wait([writing], timeout=0.3)
            if not done:
                blocked.set()
            await writing
            sent += 65536
        await peer.gone()

    async with RawServer(script) as server:
        reply = await transport.exchange(server.url)
        async with asyncio.timeout(20):
            await blocked.wait()
        assert sent < size
        assert reply.held < 2 << 20

        received = 0
        async for chunk in reply:
            received += len(chunk)
        assert received == size
        await transport.aclose()


@pytest.mark.parametrize(
    ("idle_seconds", "stalled_seconds", "cut"), [(0.05, 30.0, False), (30.0, 0.05, True)]
)
async def test_a_slow_reader_is_not_an_idle_upstream_but_has_its_own_limit(
    idle_seconds: float, stalled_seconds: float, cut: bool
) -> None:
    gone: list[bool] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"Content-Length: 2001\r\n\r\n" + b"x" * 2000)
        gone.append(await peer.gone_within(0.4))
        await peer.send(b"x")
        await peer.gone()

    limits = Limits(idle_seconds=idle_seconds, stalled_seconds=stalled_seconds, buffer_bytes=1000)
    transport = Transport(limits=limits, allow_loopback=True)
    async with RawServer(script) as server:
        reply = await transport.exchange(server.url)
        async with asyncio.timeout(5):
            while not gone:
                await asyncio.sleep(0)
        assert gone == [cut]
        if cut:
            with pytest.raises(UpstreamTimeout):
                await reply.read(LIMIT)
        else:
            assert len(await reply.read(LIMIT)) == 2001
        await transport.aclose()


@pytest.mark.requirement("GW-10")
async def test_pieces_are_passed_on_as_they_arrive(transport: Transport) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        head = b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        await peer.send(OK + head + b"9\r\ndata: 1\n\n\r\n")
        await go_on.wait()
        await peer.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    async with RawServer(script) as server:
        stream = aiter(await transport.exchange(server.url))

        assert await anext(stream) == b"data: 1\n\n"
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()  # as a loop does that sends a keep-alive comment instead
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go_on.set()
        assert await anext(stream) == b"data: 2\n\n"
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def _until_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(OK + b"Content-Length: 10\r\n\r\nhi")
    await peer.gone()


@pytest.mark.requirement("GW-09")
async def test_cancelling_an_exchange_closes_its_connection_at_once(transport: Transport) -> None:
    asked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.gone()

    async with RawServer(script) as server:
        task = asyncio.ensure_future(transport.exchange(server.url))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.finished()


@pytest.mark.requirement("GW-09")
async def test_closing_a_reply_in_its_middle_closes_the_connection_at_once(
    transport: Transport,
) -> None:
    async with RawServer(_until_body) as server:
        reply = await transport.exchange(server.url)
        await reply.aclose()
        await server.finished()
        with pytest.raises(UpstreamFailed):
            await reply.read(LIMIT)


@pytest.mark.requirement("GW-09")
async def test_cancelling_a_read_closes_the_connection_at_once(transport: Transport) -> None:
    async with RawServer(_until_body) as server:
        reply = await transport.exchange(server.url)
        task = asyncio.ensure_future(reply.read(LIMIT))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.finished()


async def test_closing_a_reply_after_its_end_keeps_the_connection(transport: Transport) -> None:
    async with RawServer(always(answer())) as server:
        for _ in range(3):
            reply = await transport.exchange(server.url)
            await reply.read(LIMIT)
            await reply.aclose()

        assert server.connections == 1


async def _silent_then(peer: Peer) -> None:
    await peer.request()
    await peer.request()
    await peer.send(answer(b"second"))
    await peer.gone()


async def test_cancelling_after_the_end_does_not_touch_the_next_exchange(
    transport: Transport,
) -> None:
    """The connection may already be lent to somebody else when the cancelled task runs."""
    async with RawServer(_silent_then) as server:
        first = asyncio.ensure_future(transport.exchange(server.url))
        pool, connection = await _under_way(transport)
        connection.data_received(answer(b"first"))  # as the loop does; no task has run yet
        lent = pool.take()
        assert lent is connection
        second = lent.send(b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

        assert await (await second).read(LIMIT) == b"second"


async def test_an_answer_that_crosses_a_cancellation_does_not_free_the_connection(
    transport: Transport,
) -> None:
    async with RawServer(_silent_then) as server:
        first = asyncio.ensure_future(transport.exchange(server.url))
        pool, connection = await _under_way(transport)
        first.cancel()
        connection.data_received(answer(b"first"))

        assert connection.closed
        assert pool.take() is None
        with pytest.raises(asyncio.CancelledError):
            await first


async def _under_way(transport: Transport) -> tuple[Pool, Connection]:
    """Wait until the only exchange has been sent."""
    async with asyncio.timeout(5):
        while True:
            await asyncio.sleep(0)
            for pool in transport._pools.values():
                for connection in pool._all:
                    if connection._state == _HEAD:
                        return pool, connection


async def test_an_unsolicited_second_response_is_never_given_to_the_next_request(
    transport: Transport,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"mine") + answer(b"poison"))
        await peer.gone()

    async with RawServer(script) as server:
        for _ in range(3):
            assert await ask(transport, server.url) == b"mine"

        assert server.connections == 3


async def test_a_late_unsolicited_response_is_never_given_to_the_next_request(
    transport: Transport,
) -> None:
    poisoned = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"mine"))
        await poisoned.wait()
        await peer.send(answer(b"poison"))
        await peer.gone()

    async with RawServer(script) as server:
        assert await ask(transport, server.url) == b"mine"
        poisoned.set()
        await server.finished()  # ours has closed on seeing it
        assert await ask(transport, server.url) == b"mine"
        assert server.connections == 2


async def test_bytes_still_in_the_kernel_spoil_a_pooled_connection(transport: Transport) -> None:
    """The loop has had no turn to read them; the pool looks for itself."""
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await peer.request()
        await peer.send(answer(b"mine"))
        await peer.gone()

    async with RawServer(script) as server:
        assert await ask(transport, server.url) == b"mine"
        peers[0].send_now(answer(b"poison"))
        assert await ask(transport, server.url) == b"mine"
        assert server.connections == 2


async def test_a_connection_closed_while_idle_is_replaced_before_anything_is_written(
    transport: Transport,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer())

    async with RawServer(script) as server:
        for number in range(1, 4):
            assert await ask(transport, server.url) == b"{}"
            await server.finished()
            assert server.connections == number


@pytest.mark.parametrize(
    ("extra", "connections"),
    [
        (b"Keep-Alive: timeout=60\r\n", 1),
        (b"Keep-Alive: timeout=1\r\n", 2),
        (b"Keep-Alive: timeout=0, max=5\r\n", 2),
        (b"Connection: close\r\n", 2),
        (b"Connection: keep-alive\r\n", 1),
    ],
)
async def test_the_upstream_may_ask_not_to_be_used_again(
    transport: Transport, extra: bytes, connections: int
) -> None:
    async with RawServer(always(answer(extra=extra))) as server:
        await ask(transport, server.url)
        await ask(transport, server.url)

        assert server.connections == connections


async def test_an_idle_connection_is_closed_in_time() -> None:
    transport = Transport(limits=Limits(pool_idle_seconds=0.1), allow_loopback=True)
    async with RawServer(always(answer())) as server:
        await ask(transport, server.url)
        await server.finished()
    await transport.aclose()


async def test_exchanges_queue_for_a_connection_and_the_queue_is_bounded(
    hasty: Transport,
) -> None:
    release = asyncio.Event()

    async def script(peer: Peer) -> None:
        while await peer.request():
            await release.wait()
            await peer.send(answer())

    async with RawServer(script) as server:
        first = asyncio.ensure_future(ask(hasty, server.url))
        queued = asyncio.ensure_future(ask(hasty, server.url))
        await asyncio.sleep(0)
        with pytest.raises(UpstreamFailed, match="busy") as caught:
            await ask(hasty, server.url)
        assert not caught.value.sent
        release.set()

        assert await first == b"{}"
        assert await queued == b"{}"
        assert server.connections == 1


async def test_waiting_for_a_connection_ends_in_time() -> None:
    limits = Limits(connect_seconds=0.1, connections=1)
    transport = Transport(limits=limits, allow_loopback=True)
    async with RawServer(_until_body) as server:
        holder = await transport.exchange(server.url)
        with pytest.raises(UpstreamTimeout) as caught:
            await transport.exchange(server.url)
        assert not caught.value.sent
        await holder.aclose()
    await transport.aclose()


async def test_a_cancelled_waiter_leaves_its_place_to_the_next(hasty: Transport) -> None:
    async with RawServer(_until_body) as server:
        holder = await hasty.exchange(server.url)
        waiting = asyncio.ensure_future(hasty.exchange(server.url))
        await asyncio.sleep(0)
        await holder.aclose()  # hands the place over ...
        waiting.cancel()  # ... to somebody who has just gone
        with pytest.raises(asyncio.CancelledError):
            await waiting
        reply = await hasty.exchange(server.url)
        assert reply.status == 200
        await reply.aclose()


async def test_a_place_that_becomes_free_goes_to_who_waits(hasty: Transport) -> None:
    async with RawServer(_until_body) as server:
        holder = await hasty.exchange(server.url)
        waiting = asyncio.ensure_future(hasty.exchange(server.url))
        await asyncio.sleep(0)
        await holder.aclose()

        reply = await waiting
        assert reply.status == 200
        assert server.connections == 2
        await reply.aclose()


async def test_a_connection_that_was_never_made_leaves_its_place() -> None:
    _, resolve = resolving(["10.0.0.1"], [], ["127.0.0.2"], ["127.0.0.1"])
    transport = Transport(limits=Limits(connections=1), allow_loopback=True, resolve=resolve)
    async with RawServer(always(answer())) as server:
        url = f"http://up.test:{server.port}/"
        for _ in range(3):
            with pytest.raises(UpstreamFailed):
                await transport.exchange(url)
        assert await ask(transport, url) == b"{}"
    await transport.aclose()


async def test_cancelling_while_connecting_leaves_the_place() -> None:
    asked = asyncio.Event()

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        if not asked.is_set():
            asked.set()
            await asyncio.Event().wait()
        return ["127.0.0.1"]

    transport = Transport(limits=Limits(connections=1), allow_loopback=True, resolve=resolve)
    async with RawServer(always(answer())) as server:
        url = f"http://up.test:{server.port}/"
        task = asyncio.ensure_future(transport.exchange(url))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await ask(transport, url) == b"{}"
    await transport.aclose()


async def test_closing_the_transport_ends_what_is_under_way_and_refuses_more() -> None:
    transport = Transport(allow_loopback=True)
    async with RawServer(_until_body) as server:
        reply = await transport.exchange(server.url)
        await transport.aclose()
        with pytest.raises(UpstreamFailed):
            await reply.read(LIMIT)
        with pytest.raises(UpstreamFailed):
            await transport.exchange(server.url)
        await server.finished()


@pytest.mark.parametrize(
    ("name", "refused"), [(b"Content-Type", True), (b"Mcp-Session-Id", True), (b"X-Any", False)]
)
async def test_a_deciding_header_may_not_contradict_itself(
    transport: Transport, name: bytes, refused: bool
) -> None:
    twice = OK + b"Content-Length: 0\r\n" + name + b": a\r\n" + name + b": b\r\n\r\n"
    async with RawServer(always(twice)) as server:
        reply = await transport.exchange(server.url)
        if refused:
            with pytest.raises(UpstreamFailed):
                reply.header(name.lower())
        else:
            assert reply.header(name.lower()) == b"a"


# Where it connects


def resolving(*answers: Sequence[str]) -> tuple[list[str], Resolve]:
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return asked, resolve


@pytest.mark.requirement("P-24", "SEC-20", "SEC-21")
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "[::ffff:127.0.0.1]"])
async def test_this_machine_is_out_of_reach_by_default(scheme: str, host: str) -> None:
    async with RawServer(always(answer())) as server:
        transport = Transport()
        with pytest.raises(UpstreamFailed) as caught:
            await transport.exchange(f"{scheme}://{host}:{server.port}/")
        assert not caught.value.sent
        assert server.connections == 0
        await transport.aclose()


@pytest.mark.requirement("P-24", "SEC-21")
async def test_one_inward_address_among_several_spoils_the_name() -> None:
    _, resolve = resolving(["127.0.0.1", "10.0.0.1"])
    async with RawServer(always(answer())) as server:
        transport = Transport(allow_loopback=True, resolve=resolve)
        with pytest.raises(UpstreamFailed):
            await transport.exchange(f"http://up.test:{server.port}/")
        assert server.connections == 0
        await transport.aclose()


@pytest.mark.requirement("P-24", "SEC-21")
async def test_a_rebinding_name_is_judged_at_each_connection_and_resolved_once_for_it() -> None:
    asked, resolve = resolving(["127.0.0.1"], ["169.254.169.254"])
    close = answer(extra=b"Connection: close\r\n")
    async with RawServer(always(close)) as server:
        transport = Transport(allow_loopback=True, resolve=resolve)
        url = f"http://up.test:{server.port}/"

        assert await ask(transport, url) == b"{}"
        assert asked == ["up.test"]
        with pytest.raises(UpstreamFailed, match="not allowed"):
            await ask(transport, url)
        assert asked == ["up.test"] * 2
        await transport.aclose()


@pytest.mark.requirement("SEC-20")
async def test_public_addresses_are_not_spoken_to_without_tls() -> None:
    _, resolve = resolving(["1.1.1.1"])
    transport = Transport(allow_loopback=True, allow_private=True, resolve=resolve)
    with pytest.raises(UpstreamFailed, match="not allowed"):
        await transport.exchange("http://up.test/")
    await transport.aclose()


async def test_the_next_address_is_tried_when_nobody_listens_at_the_first() -> None:
    _, resolve = resolving(["127.0.0.2", "127.0.0.1"])
    async with RawServer(always(answer())) as server:
        transport = Transport(allow_loopback=True, resolve=resolve)
        assert await ask(transport, f"http://up.test:{server.port}/") == b"{}"
        await transport.aclose()


async def test_nobody_listening_and_no_such_name_are_failures_with_nothing_sent(
    transport: Transport,
) -> None:
    async with RawServer(always(answer())) as server:
        url = server.url
    for dead in (url, "http://nobody.invalid/"):
        with pytest.raises(UpstreamFailed) as caught:
            await transport.exchange(dead)
        assert not caught.value.sent


async def test_a_resolver_that_hangs_times_out() -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    transport = Transport(limits=Limits(connect_seconds=0.05), allow_loopback=True, resolve=resolve)
    with pytest.raises(UpstreamTimeout) as caught:
        await transport.exchange("http://up.test/")
    assert not caught.value.sent
    await transport.aclose()


async def test_a_url_that_is_none_is_refused(transport: Transport) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        await transport.exchange("http://user:secret@127.0.0.1/")
    assert not caught.value.sent
    assert "secret" not in str(caught.value)


# TLS


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def secured(authority: Authority) -> Transport:
    _, resolve = resolving(["127.0.0.1"])
    return Transport(allow_loopback=True, tls=authority.trusting(), resolve=resolve)


@pytest.mark.requirement("SEC-21")
async def test_tls_verifies_the_name_while_connecting_to_the_judged_address(
    authority: Authority,
) -> None:
    transport = secured(authority)
    async with RawServer(always(answer()), tls=authority.serving("up.test")) as server:
        assert await ask(transport, f"https://up.test:{server.port}/") == b"{}"
        assert await ask(transport, f"https://up.test:{server.port}/") == b"{}"
        assert server.connections == 1
        with pytest.raises(UpstreamFailed, match="certificate") as caught:
            await transport.exchange(f"https://other.test:{server.port}/")
        assert not caught.value.sent
        await transport.aclose()


async def test_an_address_can_be_certified_too(authority: Authority) -> None:
    transport = secured(authority)
    async with RawServer(always(answer()), tls=authority.serving("127.0.0.1")) as server:
        assert await ask(transport, f"https://127.0.0.1:{server.port}/") == b"{}"
        await transport.aclose()


async def test_an_authority_we_do_not_trust_is_refused(
    authority: Authority, tmp_path: Path
) -> None:
    transport = secured(authority)
    stranger = Authority(tmp_path)
    async with RawServer(always(answer()), tls=stranger.serving("up.test")) as server:
        with pytest.raises(UpstreamFailed, match="certificate"):
            await transport.exchange(f"https://up.test:{server.port}/")
        await transport.aclose()


async def test_a_server_without_tls_is_refused_and_learns_nothing(authority: Authority) -> None:
    heard = bytearray()

    async def script(peer: Peer) -> None:
        heard.extend(await peer._reader.read(65536))
        await peer.send(answer())
        await peer.gone()

    transport = secured(authority)
    async with RawServer(script) as server:
        with pytest.raises(UpstreamFailed):
            await transport.exchange(
                f"https://up.test:{server.port}/", headers=[(b"authorization", b"Bearer t0p")]
            )
        await transport.aclose()
    assert b"t0p" not in heard


async def test_a_tls_connection_cut_without_goodbye_is_not_the_end_of_a_body(
    authority: Authority,
) -> None:
    """RFC 9112 section 9.8: without close_notify the body may have been cut by an attacker."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"\r\npart of it")
        peer.cut()

    transport = secured(authority)
    async with RawServer(script, tls=authority.serving("up.test")) as server:
        with pytest.raises(UpstreamFailed):
            await ask(transport, f"https://up.test:{server.port}/")
        await transport.aclose()


async def test_a_tls_connection_closed_with_a_goodbye_is(authority: Authority) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"\r\nall of it")

    transport = secured(authority)
    async with RawServer(script, tls=authority.serving("up.test")) as server:
        assert await ask(transport, f"https://up.test:{server.port}/") == b"all of it"
        await transport.aclose()


def test_a_context_that_verifies_nothing_is_not_accepted(authority: Authority) -> None:
    careless = authority.trusting()
    careless.check_hostname = False

    with pytest.raises(ValueError, match="verifies"):
        Transport(tls=careless)
