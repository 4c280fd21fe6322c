"""Taking a stream up again: one's own, in one's own session, and nobody else's."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from safeconduct.rehearsal import Programs
from tests.road.upstream import SESSION, Seen, Wire
from tests.road.world import LEGACY, MODERN, Line, Tokens, World, caller_of, line, world_at

pytestmark = pytest.mark.requirement("SEC-32", "P-02")
RESULT = {"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "mine"}]}}
_IDS = re.compile(r"(?m)^id: ?(\S+)")


async def _session(world: World, token: str, path: str = "/mcp/tickets") -> str:
    """Begin a transport session, as clients of the older era do."""
    params: dict[str, Any] = {
        "protocolVersion": LEGACY,
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    begun = await world.send(token, "initialize", params, version=LEGACY, path=path)
    assert begun.status_code == 200, begun.text
    session = str(begun.headers["mcp-session-id"])
    note = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
    headers: dict[str, str | None] = {"mcp-session-id": session}
    told = await world.send(token, "", version=LEGACY, path=path, body=note, headers=headers)
    assert told.status_code == 202
    return session


async def _resume(
    client: Line, token: str, session: str | None, last: str, path: str = "/mcp/tickets"
) -> None:
    lines = [
        f"authorization: Bearer {token}",
        "accept: text/event-stream",
        f"mcp-protocol-version: {LEGACY}",
        f"last-event-id: {last}",
    ]
    if session is not None:
        lines.append(f"mcp-session-id: {session}")
    await client.raw(f"GET {path} HTTP/1.1", lines)


async def _refused(
    world: World, token: str, session: str | None, last: str, path: str = "/mcp/tickets"
) -> None:
    async with line(world) as client:
        await _resume(client, token, session, last, path)
        status, _, body = await client.whole()
    assert status == 400
    assert json.loads(body)["error"]["code"] == -32602
    assert "was not given to this session" in json.loads(body)["error"]["message"]


@pytest.fixture(scope="module")
async def kept(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Two people before a server on the Python SDK that keeps events, numbered from one."""
    directory = tmp_path_factory.mktemp("kept")
    async with Programs(logs=directory / "logs") as programs:
        server = await programs.module("everything", "tests.fixtures.everything")
        servers = [{"key": key, "name": key.title(), "url": server.url} for key in ("tickets",)]
        access = [
            {"person": f"{who}@acme.test", "server": "tickets", "ceiling": "high"}
            for who in ("alice", "bob")
        ]
        async with world_at(directory, acme={"servers": servers, "access": access}) as world:
            yield world


async def test_a_server_that_keeps_events_gives_them_to_whom_they_are_for_alone(
    kept: World,
) -> None:
    alice, bob = await kept.tokens(), await kept.tokens(person="bob")
    hers, his = await _session(kept, alice.access), await _session(kept, bob.access)
    params = {"name": "test_simple_text", "arguments": {}}
    called = await kept.send(
        alice.access, "tools/call", params, version=LEGACY, headers={"mcp-session-id": hers}
    )
    first, *_ = _IDS.findall(called.text)
    assert not first.isdigit(), "the server's own ids are never shown"

    async with line(kept) as client:
        await _resume(client, alice.access, hers, first)
        assert (await client.head())[0] == 200
        assert b'"result"' in await client.chunk()
    await _refused(kept, bob.access, his, first)
    for number in range(1, 12):
        await _refused(kept, bob.access, his, str(number))
        await _refused(kept, alice.access, hers, str(number))


async def _id_from(world: World, tokens: Tokens, session: str | None, version: str) -> str:
    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event(RESULT, lead=b"id: raw-41\r\nevent: message\r\n")
        await wire.end_stream()

    world.upstream.scripts["tools/call"] = play
    headers = {"mcp-session-id": session} if session else {}
    called = await world.call(tokens.access, version=version, headers=dict(headers))
    (found,) = _IDS.findall(called.text)
    assert "raw-41" not in called.text
    return str(found)


async def _standing(_seen: Seen, wire: Wire) -> None:
    await wire.begin_stream()
    await wire.event(RESULT, lead=b"id: raw-42\n")
    await wire.end_stream()


@pytest.mark.slow
@pytest.mark.parametrize(
    "whose",
    ["person", "agent", "server", "session", "transport session", "no transport session",
     "altered", "raw", "cut", "long", "empty"],
)  # fmt: skip
async def test_an_event_id_is_good_only_where_it_was_given(world: World, whose: str) -> None:
    alice = await world.tokens()
    session: str | None = await _session(world, alice.access)
    last = await _id_from(world, alice, session, LEGACY)
    world.upstream.scripts["GET"] = _standing
    who, path = alice, "/mcp/tickets"
    match whose:
        case "person":
            who = await world.tokens(person="bob")
            session = await _session(world, who.access)
        case "agent":
            who = await world.tokens(client="assistant")
            session = await _session(world, who.access)
        case "server":
            who, path = await world.tokens(server="notes"), "/mcp/notes"
            session = await _session(world, who.access, path)
        case "session":
            who = await world.tokens()
        case "transport session":
            sealer = world.gateway._answers.returns._transports
            session = sealer.seal("another of hers", caller_of(alice))
        case "no transport session":
            session = None
        case "altered":
            last = ("B" if last[0] != "B" else "C") + last[1:]
        case "cut":
            last = last[:-4]
        case _:
            last = {"raw": "raw-41", "long": "A" * 5000, "empty": ""}[whose]
    world.upstream.seen.clear()

    await _refused(world, who.access, session, last, path)
    assert world.upstream.seen == [], "the server is not asked"


@pytest.mark.parametrize("with_session", [True, False])
async def test_whose_it_is_takes_a_stream_up_again_and_the_server_gets_its_own_id(
    world: World, with_session: bool
) -> None:
    alice = await world.tokens()
    session = await _session(world, alice.access) if with_session else None
    last = await _id_from(world, alice, session, LEGACY)
    world.upstream.scripts["GET"] = _standing
    for _ in range(2):  # the second time after an event of the stream that was taken up
        world.upstream.seen.clear()
        async with line(world) as client:
            await _resume(client, alice.access, session, last)
            assert (await client.head())[0] == 200
            event = (await client.chunk()).decode()
        (last,) = _IDS.findall(event)
        assert "raw-4" not in event
    (seen,) = world.upstream.seen
    assert seen.header("last-event-id") == "raw-42"
    assert seen.header("mcp-session-id") == (SESSION if with_session else None)


async def test_the_newer_era_shows_no_id_of_the_servers_either(world: World) -> None:
    tokens = await world.tokens()

    assert await _id_from(world, tokens, None, MODERN)
