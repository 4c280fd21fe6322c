"""One sender's streams and slow calls, and everybody else beside them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.road.upstream import PATIENCE_SECONDS, Seen, Wire
from tests.road.world import LEGACY, MODERN, OTHER, Line, Tokens, World, line, world_at

pytestmark = pytest.mark.requirement("SEC-64")
CALL = {"name": "get_issue", "arguments": {"id": "T-7"}}
RESULT = {"jsonrpc": "2.0", "id": 1, "result": {"content": []}}
LISTEN = {"notifications": {"toolsListChanged": True}}
LIMITS = {
    "upstream_calls": 4,
    "upstream_calls_per_host": 3,
    "upstream_calls_per_person": 2,
    "upstream_streams": 4,
    "upstream_streams_per_host": 3,
    "upstream_streams_per_person": 2,
}


@asynccontextmanager
async def limited(tmp_path: Path, **limits: int) -> AsyncIterator[World]:
    async with world_at(tmp_path, server={"limits": LIMITS | limits}) as world:
        yield world


async def _slow(_seen: Seen, wire: Wire) -> None:
    await wire.gone()


async def _quick(_seen: Seen, wire: Wire) -> None:
    await wire.answer(RESULT)


async def _open(_seen: Seen, wire: Wire) -> None:
    await wire.begin_stream()
    await wire.chunk(b": open\n\n")
    await wire.gone()


async def _get(client: Line, token: str) -> None:
    lines = [
        f"authorization: Bearer {token}",
        "accept: text/event-stream",
        f"mcp-protocol-version: {LEGACY}",
    ]
    await client.raw("GET /mcp/tickets HTTP/1.1", lines)


@asynccontextmanager
async def _calling(world: World, *callers: Tokens) -> AsyncIterator[None]:
    """Have calls under way that the server does not answer."""
    world.upstream.scripts["tools/call"] = _slow
    async with AsyncExitStack() as stack:
        for number, tokens in enumerate(callers, len(world.upstream.calls()) + 1):
            client = await stack.enter_async_context(line(world))
            await client.post(tokens.access, "tools/call", CALL)
            while len(world.upstream.calls()) < number:
                await world.upstream.arrived(len(world.upstream.seen) + 1)
        world.upstream.scripts["tools/call"] = _quick
        yield


@asynccontextmanager
async def _listening(world: World, *listeners: tuple[Tokens, str]) -> AsyncIterator[None]:
    world.upstream.scripts["GET"] = world.upstream.scripts["subscriptions/listen"] = _open
    async with AsyncExitStack() as stack:
        for tokens, version in listeners:
            client = await stack.enter_async_context(line(world))
            if version == MODERN:
                await client.post(tokens.access, "subscriptions/listen", LISTEN)
            else:
                await _get(client, tokens.access)
            assert (await client.head())[0] == 200
        yield


async def test_one_persons_slow_calls_leave_calls_to_everybody_else(tmp_path: Path) -> None:
    async with limited(tmp_path) as world:
        alice, assistant = await world.tokens(), await world.tokens(client="assistant")
        bob = await world.tokens(person="bob")
        far = await world.tokens(host="other")
        async with _calling(world, alice, assistant):
            seen = len(world.upstream.calls())
            refused = await world.call(alice.access)
            assert len(world.upstream.calls()) == seen, "what is refused reaches no server"
            note = {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}
            told = await world.send(
                alice.access, "", version=LEGACY, body=json.dumps(note).encode()
            )
            others = [
                await world.call(bob.access),
                await world.call(far.access, origin=OTHER),
            ]
        assert refused.status_code == 200
        assert refused.json()["error"]["code"] == 4290
        assert "You have 2 calls open at Tickets" in refused.json()["error"]["message"]
        assert "server.limits.upstream_calls_per_person" in refused.json()["error"]["message"]
        assert refused.headers["retry-after"] == "5"
        assert told.status_code == 202
        assert [answer.json() for answer in others] == [RESULT, RESULT]


async def test_one_tenants_slow_calls_leave_calls_to_the_others(tmp_path: Path) -> None:
    async with limited(tmp_path) as world:
        alice, bob = await world.tokens(), await world.tokens(person="bob")
        far = await world.tokens(host="other")
        async with _calling(world, alice, alice, bob):
            refused = await world.call(bob.access)
            assert "This host has 3 calls open" in refused.json()["error"]["message"]
            assert (await world.call(far.access, origin=OTHER)).json() == RESULT


@pytest.mark.slow
@pytest.mark.parametrize("version", [LEGACY, MODERN])
async def test_one_persons_streams_end_no_call_and_nobody_elses_stream(
    tmp_path: Path, version: str
) -> None:
    async with limited(tmp_path, upstream_calls=3) as world:
        alice, bob = await world.tokens(), await world.tokens(person="bob")
        assistant = await world.tokens(client="assistant")
        world.upstream.scripts["tools/call"] = _quick
        async with _listening(world, (alice, version), (assistant, version)):
            status, headers, message = await _refused_stream(world, alice, version)
            assert status == (200 if version == MODERN else 429)
            assert headers["retry-after"] == "5"
            assert message["code"] == 4290
            assert "You have 2 streams open at Tickets" in message["message"]
            async with _listening(world, (bob, version)):
                for tokens in (alice, bob):
                    assert (await world.call(tokens.access)).json() == RESULT
        await _nothing_under_way(world)
        async with _listening(world, (alice, version)):
            pass


async def _nothing_under_way(world: World) -> None:
    """Wait until every end has been noticed; nothing tells when."""
    shares = world.gateway._answers.returns._flights.shares
    async with asyncio.timeout(PATIENCE_SECONDS):
        while shares._under_way:
            await asyncio.sleep(0.01)


async def _refused_stream(
    world: World, tokens: Tokens, version: str
) -> tuple[int, dict[str, str], dict[str, Any]]:
    async with line(world) as client:
        if version == MODERN:
            await client.post(tokens.access, "subscriptions/listen", LISTEN)
        else:
            await _get(client, tokens.access)
        status, headers, body = await client.whole()
    message: dict[str, Any] = json.loads(body)["error"]
    return status, headers, message


async def test_a_call_that_is_answered_by_a_stream_counts_until_that_ends(tmp_path: Path) -> None:
    async with limited(tmp_path, upstream_calls_per_person=1) as world:
        alice = await world.tokens()
        go = asyncio.Event()

        async def streamed(_seen: Seen, wire: Wire) -> None:
            await wire.begin_stream()
            await wire.chunk(b": working\n\n")
            await go.wait()
            await wire.event(RESULT)
            await wire.end_stream()

        world.upstream.scripts["tools/call"] = streamed
        async with line(world) as client:
            await client.post(alice.access, "tools/call", CALL)
            await client.head()
            await client.chunk()
            assert (await world.call(alice.access)).json()["error"]["code"] == 4290
            go.set()
            while await client.chunk():
                pass
        world.upstream.scripts["tools/call"] = _quick
        assert (await world.call(alice.access)).json() == RESULT


@pytest.mark.slow
async def test_256_streams_of_one_person_are_not_to_be_had_and_stop_nobody(world: World) -> None:
    """As it is installed: the refusal is at the stream, in one sentence, and calls go on."""
    sessions = [await world.tokens(client=each) for each in ("agent", "assistant")]
    bob = await world.tokens(person="bob")
    world.upstream.scripts["tools/call"] = _quick
    wanted = [(tokens, LEGACY) for tokens in sessions for _ in range(64)]
    async with _listening(world, *wanted):
        refused = [await _refused_stream(world, sessions[1], LEGACY) for _ in range(3)]
        assert {status for status, _, _ in refused} == {429}
        for tokens in (*sessions, bob):
            assert (await world.call(tokens.access)).json() == RESULT
