"""The response reader on arbitrary bytes: a reply or a refusal, never a crash or a wait."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from safeconduct.egress.failures import Limits, UpstreamFailed, UpstreamTimeout
from safeconduct.egress.reply import Reply
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
    ours.setblocking(False)  # as every loop does
    yield ours
    ours.close()
    theirs.close()


async def sent(connection: Connection) -> asyncio.Future[Reply]:
    """Send a request, and give the loop the turn at whose end it is written."""
    head = connection.send(b"request")
    await asyncio.sleep(0)
    return head


async def outcome(
    sock: socket.socket, pieces: list[bytes], limits: Limits
) -> tuple[int, tuple[tuple[bytes, bytes], ...], bytes] | None:
    """Feed a response; return what the caller would see, None for a refusal."""
    keeper = Keeper()
    wire = Wire(sock)
    connection = Connection(owner=keeper, limits=limits)
    connection.connection_made(wire)
    head = await sent(connection)
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


@pytest.mark.slow
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
    head = await sent(connection)
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
    head = await sent(connection)
    connection.data_received(b"HTTP/1.1 " + status + b" Odd\r\n\r\n")

    assert wire.aborted
    with pytest.raises(UpstreamFailed):
        await head


Lines = list[tuple[int, int]]
LINES = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 16)), max_size=6)


def spelled(lines: Lines) -> bytes:
    return b"".join(b"%b: %b\r\n" % (b"n" * name, b"v" * value) for name, value in lines)


def fits(lines: Lines, limits: Limits) -> bool:
    sizes = [name + value for name, value in lines]
    return (
        len(sizes) <= limits.header_count
        and all(size <= limits.line_bytes for size in sizes)
        and sum(sizes) + 4 * len(sizes) <= limits.head_bytes
    )


@pytest.mark.slow
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(early=LINES, lines=LINES, trailer=LINES)
@example(early=[], lines=[(8, 8)] * 3, trailer=[])  # exactly 88 bytes with the coding
@example(early=[], lines=[(8, 8), (8, 8), (8, 9)], trailer=[])
@example(early=[(1, 0)], lines=[(8, 8)] * 3, trailer=[])
@example(early=[(8, 8)], lines=[(8, 8)] * 2, trailer=[(8, 8)] * 4)
@example(early=[], lines=[], trailer=[(12, 13)])
@example(early=[], lines=[(12, 13)], trailer=[])
@example(early=[], lines=[], trailer=[(12, 10)] * 3)
@example(early=[], lines=[], trailer=[(12, 10)] * 4)
@example(early=[(1, 1)] * 2, lines=[(1, 1)] * 2, trailer=[(1, 1)] * 4)
@example(early=[(1, 1)] * 2, lines=[(1, 1)] * 3, trailer=[])
async def test_a_head_and_a_trailer_are_taken_up_to_the_limits_and_not_beyond(
    sock: socket.socket, early: Lines, lines: Lines, trailer: Lines
) -> None:
    """Interim responses have no allowance of their own; trailers do."""
    coded = (len(b"transfer-encoding"), len(b"chunked"))
    limits = Limits(head_bytes=88, line_bytes=24, header_count=5)
    head = b"HTTP/1.1 103 E\r\n" + spelled(early) + b"\r\nHTTP/1.1 200 OK\r\n" + spelled(lines)
    data = head + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n" + spelled(trailer) + b"\r\n"

    seen = await outcome(sock, [data], limits)

    if fits([*early, *lines, coded], limits) and fits(trailer, limits):
        assert seen is not None
        kept = [(b"n" * name, b"v" * value) for name, value in lines]
        assert seen == (200, (*kept, (b"transfer-encoding", b"chunked")), b"hi")
    else:
        assert seen is None


@pytest.mark.requirement("SEC-64")
@pytest.mark.parametrize("place", [b"", b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"])
async def test_too_many_fields_are_refused_before_they_have_ended(
    sock: socket.socket, place: bytes
) -> None:
    """Each costs far more to keep than to send, so no piece may bring a crowd of them."""
    keeper, wire = Keeper(), Wire(sock)
    connection = Connection(owner=keeper, limits=Limits())
    connection.connection_made(wire)
    head = await sent(connection)
    connection.data_received(b"HTTP/1.1 200 OK\r\n" + place + b"a:\r\n" * 50_000)

    assert wire.aborted
    assert len(connection._fields) <= 201
    with pytest.raises(UpstreamFailed):
        await (await head).read(10)


@pytest.mark.requirement("SEC-64")
async def test_a_field_without_an_end_is_refused_as_soon_as_it_is_longer_than_a_head(
    sock: socket.socket,
) -> None:
    keeper, wire = Keeper(), Wire(sock)
    connection = Connection(owner=keeper, limits=Limits())
    connection.connection_made(wire)
    head = await sent(connection)
    connection.data_received(b"HTTP/1.1 200 OK\r\nx: ")
    for _ in range(65):
        assert not wire.aborted
        connection.data_received(b"y" * 1000)
    connection.data_received(b"y" * 1000)

    assert wire.aborted
    with pytest.raises(UpstreamFailed):
        await head


@pytest.mark.slow
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(first=STREAMS, second=STREAMS, sizes=CUTS)
@example(
    first=b"HTTP/1.1 100 C\r\n\r\n" * 8
    + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: x\r\nU: y\r\n\r\n",
    second=b"HTTP/1.1 100 C\r\nX: y\r\n\r\n" * 8
    + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    sizes=[],
)
@example(
    first=b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\nContent-Length: 0\r\n\r\n",
    second=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    sizes=[],
)
@example(
    first=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    second=b"HTTP/1.1 200 OK\r\n\r\nhi",
    sizes=[],
)
@example(
    first=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: x\r\n\r\n",
    second=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    sizes=[],
)
async def test_an_answer_is_read_alike_on_a_connection_that_carried_another(
    sock: socket.socket, first: bytes, second: bytes, sizes: list[int]
) -> None:
    async def read(*answers: bytes) -> object:
        keeper, wire = Keeper(), Wire(sock)
        connection = Connection(owner=keeper, limits=Limits())
        connection.connection_made(wire)
        for number, data in enumerate(answers):
            if keeper.words != ["free"] * number:
                return "spent"
            head = await sent(connection)
            for piece in cut(data, sizes):
                if not wire.aborted and keeper.words == ["free"] * number:
                    connection.data_received(piece)
        kept = len(keeper.words) == len(answers) and keeper.words[-1] == "free"
        seconds = connection._keep_seconds if kept else None
        if keeper.words == ["free"] * (len(answers) - 1):
            connection.eof_received()
        connection.connection_lost(None)
        try:
            reply = head.result()
            return seconds, reply.status, tuple(reply.headers), await reply.read(1 << 20)
        except UpstreamFailed as error:
            return seconds, str(error)

    after = await read(first, second)
    if after != "spent":
        assert after == await read(second)


@pytest.mark.parametrize(("head_bytes", "taken"), [(600, True), (599, False)])
async def test_the_shortest_fields_count_for_what_they_would_be_with_blanks(
    sock: socket.socket, head_bytes: int, taken: bool
) -> None:
    limits = Limits(head_bytes=head_bytes, line_bytes=1000)
    data = b"HTTP/1.1 204 No\r\n" + b"a:b\r\n" * 100 + b"\r\n"

    assert (await outcome(sock, [data], limits) is not None) is taken


@pytest.mark.parametrize(
    ("pieces", "on_time"),
    [
        ([b""], True),
        ([b"2\r\nhi\r\n"], True),
        ([b"", b"2\r\nhi\r\n"], True),
        ([b"", b"2;" + b"x" * 100], False),
        ([b"2\r\nhi\r\n", b"2;" + b"x" * 100], False),
    ],
    ids=["head", "head and piece", "piece", "no piece", "no second piece"],
)
async def test_a_head_and_each_piece_of_a_body_give_it_new_time_and_nothing_else_does(
    sock: socket.socket, pieces: list[bytes], on_time: bool
) -> None:
    now = asyncio.get_running_loop().time()
    wire = Wire(sock)
    limits = Limits(head_seconds=100.0, idle_seconds=1000.0)
    connection = Connection(owner=Keeper(), limits=limits)
    connection.connection_made(wire)
    head = await sent(connection)
    begin = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for piece in [begin + pieces[0], *pieces[1:]]:
        connection._deadline = now + 10.0  # as if much of its time were over
        connection.data_received(piece)
    reply = await head

    connection.tick(now + 999.0)
    assert wire.aborted is not on_time
    connection.tick(now + 1100.0)
    assert wire.aborted
    with pytest.raises(UpstreamTimeout):
        async for _ in reply:
            pass


async def test_what_is_at_hand_is_the_whole_body_or_nothing(sock: socket.socket) -> None:
    connection = Connection(owner=Keeper(), limits=Limits())
    connection.connection_made(Wire(sock))
    head = await sent(connection)
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi")
    reply = await head

    assert reply.at_hand(1000) is None
    connection.data_received(b"yo")
    assert reply.at_hand(3) is None
    assert reply.at_hand(1000) == b"hiyo"
    assert reply.at_hand(1000) == b""


async def test_what_broke_is_never_at_hand(sock: socket.socket) -> None:
    connection = Connection(owner=Keeper(), limits=Limits())
    connection.connection_made(Wire(sock))
    head = await sent(connection)
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi")
    connection.eof_received()
    reply = await head

    assert reply.at_hand(1000) is None
    with pytest.raises(UpstreamFailed):
        await reply.read(1000)
