"""The response reader on arbitrary bytes: a reply or a refusal, never a crash or a wait."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from safeconduct.egress.failures import Limits, UpstreamFailed
from safeconduct.egress.wire import Connection

FRAGMENTS = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 204 No\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switch\r\n",
    b"HTTP/1.1 099 X\r\n",
    b"HTTP/2.0 200 OK\r\n",
    b"HTTP/1.1 200\r\n",
    b"Content-Length: 2\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade\r\nUpgrade: x\r\n",
    b"Keep-Alive: timeout=5\r\n",
    b"Keep-Alive: timeout=99999999999999999999\r\n",
    b"X:\r\n",
    b"\r\n",
    b"\n",
    b"hi",
    b"2\r\nhi\r\n",
    b"2;e=f\r\nhi\r\n",
    b"0\r\n\r\n",
    b"0\r\nT: x\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"\x00",
    b" ",
    b":",
]
STREAMS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=8)), max_size=14).map(
    b"".join
)
CUTS = st.lists(st.integers(min_value=1, max_value=40), max_size=30)


class Wire(asyncio.Transport):
    """A transport that goes nowhere, on a real socket so that it can be polled."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__({"socket": sock})
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Keeper:
    """Keeps the last word about a connection."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def free(self, connection: Connection) -> None:
        self.words.append("free")

    def gone(self, connection: Connection) -> None:
        self.words.append("gone")


@pytest.fixture(scope="module")
def sock() -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    yield ours
    ours.close()
    theirs.close()


async def outcome(
    sock: socket.socket, pieces: list[bytes], limits: Limits
) -> tuple[int, tuple[tuple[bytes, bytes], ...], bytes] | None:
    """Feed a response; return what the caller would see, None for a refusal."""
    keeper = Keeper()
    wire = Wire(sock)
    connection = Connection(owner=keeper, limits=limits)
    connection.connection_made(wire)
    head = connection.send(b"request")
    for piece in pieces:
        if wire.aborted:
            break
        connection.data_received(piece)
    if not wire.aborted:
        connection.eof_received()
    connection.connection_lost(None)

    assert wire.aborted
    assert keeper.words in (["gone"], ["free", "gone"])
    assert head.done()
    if isinstance(head.exception(), UpstreamFailed):
        return None
    reply = head.result()
    assert 200 <= reply.status <= 599
    try:
        async with asyncio.timeout(5):
            return reply.status, tuple(reply.headers), await reply.read(1 << 20)
    except UpstreamFailed:
        return None


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        if not data:
            break
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data] if data else pieces


@pytest.mark.requirement("SEC-64")
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=STREAMS, sizes=CUTS)
@example(data=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n", sizes=[40])
@example(data=b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhi", sizes=[])
@example(data=b"HTTP/1.1 200 OK\r\n\r\nhi", sizes=[1] * 30)
async def test_any_bytes_cut_anywhere_give_a_reply_or_a_refusal_and_the_same_one(
    sock: socket.socket, data: bytes, sizes: list[int]
) -> None:
    whole = await outcome(sock, [data] if data else [], Limits())

    assert await outcome(sock, cut(data, sizes), Limits()) == whole


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=STREAMS, sizes=CUTS)
async def test_tight_limits_refuse_and_do_not_break(
    sock: socket.socket, data: bytes, sizes: list[int]
) -> None:
    tight = Limits(head_bytes=40, line_bytes=20, header_count=2, interim_count=1, buffer_bytes=3)

    await outcome(sock, cut(data, sizes), tight)


async def test_an_answer_that_overtakes_its_request_spends_the_connection(
    sock: socket.socket,
) -> None:
    class Slow(Wire):
        def get_write_buffer_size(self) -> int:
            return 1

    keeper = Keeper()
    connection = Connection(owner=keeper, limits=Limits())
    connection.connection_made(Slow(sock))
    head = connection.send(b"request")
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    assert (await head).status == 200
    assert keeper.words == ["gone"]


@pytest.mark.parametrize("status", [b"101", b"099", b"000"])
async def test_a_status_that_cannot_lead_to_an_answer_is_refused_at_once(
    sock: socket.socket, status: bytes
) -> None:
    keeper = Keeper()
    wire = Wire(sock)
    connection = Connection(owner=keeper, limits=Limits())
    connection.connection_made(wire)
    head = connection.send(b"request")
    connection.data_received(b"HTTP/1.1 " + status + b" Odd\r\n\r\n")

    assert wire.aborted
    with pytest.raises(UpstreamFailed):
        await head
