"""A client's connection: one reading of every request, bounded in size and in time."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from safeconduct.app import protocol, serving
from safeconduct.app.familiar import Familiar, FamiliarHeads
from tests.road.upstream import PATIENCE_SECONDS, Seen, Wire
from tests.road.world import Tokens, World, body_of, eventually, headers_of, line, world_at

CALL = {"name": "get_issue", "arguments": {"id": "T-7"}}
BODY = body_of("tools/call", CALL)
PROGRESS = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}


def _head(*more: str, path: str = "/mcp/tickets", host: bool = True) -> bytes:
    """Write a request's head with its body in chunks to come."""
    lines = [f"POST {path} HTTP/1.1", *(["host: acme.test"] if host else [])]
    lines += [f"{name}: {value}" for name, value in headers_of("tools/call", CALL).items()]
    return "\r\n".join([*lines, "transfer-encoding: chunked", *more, "", ""]).encode()


def _chunked(trailer: str = "") -> bytes:
    return b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(BODY), BODY, trailer.encode())


async def _ended(reader: asyncio.StreamReader) -> bytes:
    """Return what still comes until the other side closes the connection."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        with contextlib.suppress(ConnectionError):
            return await reader.read()
    return b""


@pytest.mark.requirement("SEC-61", "P-26", "X-01")
@pytest.mark.parametrize("path", ["/mcp/tickets", "/mcp/%74ickets"])
@pytest.mark.parametrize("moved", ["authorization", "host", "nothing"])
async def test_a_trailer_is_no_header(road: World, tokens: Tokens, path: str, moved: str) -> None:
    """RFC 9110 section 6.5.1: what a proxy before us did not look at must not count here."""
    bearer = f"authorization: Bearer {tokens.access}"
    headers = () if moved == "authorization" else (bearer,)
    trailer = {"authorization": f"{bearer}\r\n", "host": "host: acme.test\r\n", "nothing": ""}
    async with line(road) as client:
        head = _head(*headers, path=path, host=moved != "host")
        client.writer.write(head + _chunked(trailer[moved]))
        status, _, _ = await client.whole()

    assert status == {"authorization": 401, "host": 400, "nothing": 200}[moved]
    assert len(road.upstream.seen) == (moved == "nothing")


@pytest.mark.requirement("SEC-61", "SEC-63")
async def test_a_coding_that_nobody_took_off_is_refused(road: World, tokens: Tokens) -> None:
    """RFC 9112 section 6.1: whoever takes it off before us has read another message."""
    bearer = f"authorization: Bearer {tokens.access}"
    head = _head(bearer).replace(b"encoding: chunked", b"encoding: gzip, chunked")
    async with line(road) as client:
        client.writer.write(head + _chunked())
        status, _, _ = await client.whole()

    assert status == 415
    assert road.upstream.seen == []


@pytest.mark.requirement("SEC-61")
@pytest.mark.parametrize("path", ["/mcp/tickets", "/oauth/token"])
async def test_an_offer_to_speak_something_else_ends_the_connection(road: World, path: str) -> None:
    """The parser reads nothing after an upgrade, so whoever came next would wait in vain."""
    offer = ["connection: upgrade", "upgrade: h2c", "content-length: 0"]
    async with line(road) as client:
        await client.raw(f"POST {path} HTTP/1.1", offer)
        _, headers = await client.head()
        rest = await _ended(client.reader)

    assert headers["connection"] == "close"
    assert b"HTTP/1.1" not in rest


@pytest.mark.requirement("SEC-61")
async def test_a_request_behind_the_last_one_is_not_answered(road: World, tokens: Tokens) -> None:
    token = tokens.access
    async with line(road) as client:
        for more in (("connection: close",), ()):
            await client.post(token, "tools/call", CALL, more=more)
        answers = await _ended(client.reader)

    assert answers.count(b"HTTP/1.1 200") == 1
    assert len(road.upstream.seen) == 1


@pytest.mark.requirement("P-29", "SEC-64")
async def test_empty_lines_win_no_time(
    road: World, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tokens.access
    monkeypatch.setattr(protocol, "_REQUEST_SECONDS", 0.2)
    async with line(road) as client:
        await client.post(token, "tools/call", CALL)
        assert (await client.whole())[0] == 200
        client.writer.write(b"\r\n")

        assert await _ended(client.reader) == b""


@pytest.mark.requirement("P-29", "SEC-64")
@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize(("size", "status"), [(60_000, 200), (70_000, 431)])
async def test_a_head_has_a_bounded_size(
    road: World, tokens: Tokens, pieces: int, size: int, status: int
) -> None:
    token = tokens.access
    fields = [f"x-{number}: {'y' * (size // 7)}" for number in range(7)]
    request = _head(f"authorization: Bearer {token}", *fields) + _chunked()
    async with line(road) as client:
        for start in range(0, len(request), len(request) // pieces + 1):
            client.writer.write(request[start : start + len(request) // pieces + 1])
            await client.writer.drain()
        found, _ = await client.head()

    assert found == status
    assert len(road.upstream.seen) == (status == 200)


@pytest.mark.requirement("P-29", "SEC-64")
@pytest.mark.parametrize(
    "first",
    [
        b"POST /",
        b"POST /mcp/tickets HTTP/1.1\r\nhost: acme.test\r\nx: ",
        _head() + b"0\r\nx: ",
        _head() + b"1;",
    ],
    ids=["target", "field", "trailer", "chunk extension"],
)
async def test_what_never_ends_is_cut_off(tmp_path: Path, first: bytes) -> None:
    async with world_at(tmp_path, server={"limits": {"body_bytes": 1024}}) as world:
        async with line(world) as client:
            client.writer.write(first)
            with contextlib.suppress(ConnectionError):
                for _ in range(100):
                    client.writer.write(b"y" * 65536)
                    await client.writer.drain()
            said = await _ended(client.reader)

        assert not said or said.startswith((b"HTTP/1.1 413", b"HTTP/1.1 431"))
        assert world.upstream.seen == []


@pytest.mark.requirement("P-19", "GW-09", "SEC-64")
async def test_a_client_that_asked_twice_and_left_is_noticed(road: World, tokens: Tokens) -> None:
    """The call under way ends with the connection, not only the one that waits behind it."""
    token = tokens.access
    before = len(road.events("call.outcome"))
    over = asyncio.Event()

    async def talk(_seen: Seen, wire: Wire) -> None:
        try:
            await wire.begin_stream()
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    await wire.event(PROGRESS)
                    await asyncio.sleep(0.01)  # the wire tells of a broken connection when used
        finally:
            over.set()

    road.upstream.scripts["tools/call"] = talk
    async with line(road) as client:
        await client.post(token, "tools/call", CALL)
        assert (await client.head())[0] == 200
        await client.post(token, "tools/call", CALL)
        client.hang_up()
        await asyncio.wait_for(over.wait(), PATIENCE_SECONDS / 2)

    outcome = (await eventually(road, "call.outcome", before + 1))[-1]
    assert outcome["outcome"] == "cancelled"


@pytest.mark.requirement("P-29", "SEC-64", "GW-10")
async def test_a_client_that_takes_nothing_is_cut_off(
    road: World, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tokens.access
    before = len(road.events("call.outcome"))
    monkeypatch.setattr(protocol, "_STALLED_SECONDS", 0.2)

    async def flood(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        while True:
            await wire.event(PROGRESS | {"params": {"message": "x" * 100_000}})

    road.upstream.scripts["tools/call"] = flood
    async with line(road) as client:
        await client.post(token, "tools/call", CALL)

        outcome = (await eventually(road, "call.outcome", before + 1))[-1]

    assert outcome["outcome"] == "cancelled"


@pytest.mark.requirement("P-29", "GW-10")
async def test_a_client_that_takes_a_little_at_a_time_gets_all_of_it(
    road: World, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tokens.access
    monkeypatch.setattr(protocol, "_STALLED_SECONDS", 0.1)
    long = {"name": "get_issue", "arguments": {"id": "x" * 3_000_000}}
    async with line(road) as client:
        await client.post(token, "tools/call", long)
        status, headers = await client.head()
        left = int(headers["content-length"])
        async with asyncio.timeout(PATIENCE_SECONDS):
            while left:
                piece = await client.reader.read(200_000)
                assert piece
                left -= len(piece)
                await asyncio.sleep(0.01)  # slower than the gateway would like, but no stop

    assert status == 200


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Bodies behind heads that were not parsed, because they had been read before."""
    found: list[bytes] = []
    find = FamiliarHeads.find

    def noted(heads: FamiliarHeads, data: bytes) -> tuple[Familiar, bytes] | None:
        known = find(heads, data)
        if known is not None:
            found.append(known[1])
        return known

    monkeypatch.setattr(FamiliarHeads, "find", noted)
    return found


@pytest.mark.requirement("SEC-61", "P-26")
async def test_who_says_the_same_again_is_answered_alike(
    road: World, tokens: Tokens, known: list[bytes]
) -> None:
    token = tokens.access
    async with line(road) as client:
        for number in (1, 20, 300):
            await client.post(token, "tools/call", CALL, message_id=number)
            status, _, body = await client.whole()

            assert status == 200
            assert json.loads(body)["id"] == number

    assert known == [body_of("tools/call", CALL, message_id=number) for number in (20, 300)]
    assert [seen.body for seen in road.upstream.seen][1:] == known


@pytest.mark.requirement("SEC-61", "P-26", "X-01")
async def test_a_head_that_is_known_lends_nothing_to_another(
    road: World, tokens: Tokens, known: list[bytes]
) -> None:
    token = tokens.access
    stranger = token[:-1] + ("a" if token[-1] != "a" else "b")
    statuses = []
    async with line(road) as client:
        for bearer in (token, token, stranger, token, stranger):
            await client.post(bearer, "tools/call", CALL)
            statuses.append((await client.whole())[0])

    assert statuses == [200, 200, 401, 200, 401]
    assert len(known) == 2  # a stranger's head is not remembered
    assert len(road.upstream.seen) == 3


@pytest.mark.requirement("SEC-61", "T-16")
async def test_a_head_that_is_known_lets_nobody_in_whose_session_ended(
    world: World, known: list[bytes]
) -> None:
    tokens = await world.tokens()
    async with line(world) as client:
        for _ in range(2):
            await client.post(tokens.access, "tools/call", CALL)
            assert (await client.whole())[0] == 200
        await world.revoke(tokens)
        await client.post(tokens.access, "tools/call", CALL)

        assert (await client.whole())[0] == 401
    assert len(known) == 2
    assert len(world.upstream.seen) == 2


@pytest.mark.requirement("SEC-61")
@pytest.mark.parametrize("cut", [1, 100, -1])
async def test_a_known_head_in_pieces_or_in_company_is_read_whole(
    road: World, tokens: Tokens, cut: int, known: list[bytes]
) -> None:
    lines = [f"{name}: {value}" for name, value in headers_of("tools/call", CALL).items()]
    lines += ["host: acme.test", f"authorization: Bearer {tokens.access}"]
    lines += [f"content-length: {len(BODY)}", "", ""]
    request = "\r\n".join(["POST /mcp/tickets HTTP/1.1", *lines]).encode() + BODY
    statuses = []
    async with line(road) as client:
        for pieces in ([request], [request[:cut], request[cut:]], [request + request, request]):
            for piece in pieces:
                client.writer.write(piece)
                await client.writer.drain()
                await asyncio.sleep(0)
            count = 3 if len(pieces[0]) > len(request) else 1
            statuses += [(await client.whole())[0] for _ in range(count)]

    assert statuses == [200] * 5
    assert len(road.upstream.seen) == 5
    assert len(known) <= 1


@pytest.mark.requirement("P-29", "SEC-64")
async def test_a_connection_that_rests_too_long_is_closed_and_one_in_use_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_KEEP_ALIVE_SECONDS", 0.4)
    clock = asyncio.get_running_loop().time
    async with world_at(tmp_path) as world:
        token = (await world.tokens()).access
        async with line(world) as client:
            until = clock() + 1.0
            while clock() < until:
                await client.post(token, "tools/call", CALL)
                assert (await client.whole())[0] == 200
            rests = clock()

            assert await _ended(client.reader) == b""
            assert 0.3 < clock() - rests < PATIENCE_SECONDS
