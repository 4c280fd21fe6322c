"""How much one session may have under way, and that it is given back however it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.road.upstream import Seen, Wire
from tests.road.world import (
    LEGACY,
    PATIENCE_SECONDS,
    Line,
    Tokens,
    World,
    eventually,
    line,
)

CALL = {"name": "get_issue", "arguments": {"id": "T-7"}}
PROGRESS = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}
RESULT = {"jsonrpc": "2.0", "id": 1, "result": {"content": []}}
CANCEL = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}


def _allow(world: World, most: int) -> None:
    world.gateway._answers.returns._flights._most = most


async def _counted(world: World, *, streams: int, under_way: int) -> None:
    """Wait until exactly so much is under way; nothing tells when a connection's end is noticed."""
    flights = world.gateway._answers.returns._flights
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (flights._metrics.streams, sum(flights._under_way.values())) != (streams, under_way):
            await asyncio.sleep(0.01)


async def _metrics(world: World) -> bytes:
    return (await world.http.get("/metrics", headers={"host": "localhost"})).content


@asynccontextmanager
async def _waiting(world: World, tokens: Tokens, count: int) -> AsyncIterator[list[Line]]:
    """Have calls under way that the server has not begun to answer."""
    before = len(world.upstream.seen)
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(line(world)) for _ in range(count)]
        for each in lines:
            await each.post(tokens.access, "tools/call", CALL)
        await world.upstream.arrived(before + count)
        yield lines


@pytest.mark.slow
@pytest.mark.requirement("SEC-64")
async def test_a_session_has_so_many_calls_at_a_time_and_others_have_theirs(world: World) -> None:
    _allow(world, 2)
    tokens, other = await world.tokens(), await world.tokens(client="assistant")
    go = asyncio.Event()

    async def slow(_seen: Seen, wire: Wire) -> None:
        await go.wait()
        await wire.answer(RESULT)

    world.upstream.scripts["tools/call"] = slow
    async with _waiting(world, tokens, 2) as lines, _waiting(world, other, 1):
        refused = await world.call(tokens.access)
        listing = await world.send(tokens.access, "tools/list")
        cancel = await world.send(
            tokens.access, "notifications/cancelled", body=json.dumps(CANCEL).encode(),
            version=LEGACY,
        )  # fmt: skip
        seen = len(world.upstream.calls())
        go.set()
        for each in lines:
            assert (await each.whole())[0] == 200
        after = await world.call(tokens.access)

    for answer in (refused, listing):
        assert answer.status_code == 200
        assert answer.json()["error"]["code"] == 4290
        assert "has 2 calls and streams open" in answer.json()["error"]["message"]
        assert "try again" in answer.json()["error"]["message"]
    assert cancel.status_code == 202
    assert seen == 3, "what is refused reaches no server"
    assert after.json() == RESULT
    assert [e["outcome"] for e in world.events("call.outcome")].count("throttled") == 1
    await _counted(world, streams=0, under_way=0)


@pytest.mark.requirement("SEC-64")
async def test_a_client_that_hangs_up_has_its_place_back(world: World) -> None:
    _allow(world, 1)
    tokens = await world.tokens()

    async def hang(_seen: Seen, wire: Wire) -> None:
        await wire.gone()

    world.upstream.scripts["tools/call"] = hang
    async with _waiting(world, tokens, 1) as (client,):
        client.hang_up()
        await eventually(world, "call.outcome")
    del world.upstream.scripts["tools/call"]

    assert "result" in (await world.call(tokens.access)).json()
    await _counted(world, streams=0, under_way=0)


@pytest.mark.requirement("SEC-64")
@pytest.mark.parametrize("how", ["answered", "hung up", "revoked"])
async def test_a_stream_counts_until_it_is_closed(world: World, how: str) -> None:
    _allow(world, 1)
    tokens = await world.tokens()
    go = asyncio.Event()

    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event(PROGRESS)
        if how == "answered":
            await go.wait()
            await wire.event(RESULT)
            await wire.end_stream()
        else:
            await wire.gone()

    world.upstream.scripts["tools/call"] = play
    async with line(world) as client:
        await client.post(tokens.access, "tools/call", CALL)
        await client.head()
        await client.chunk()
        await _counted(world, streams=1, under_way=1)
        assert (await world.call(tokens.access)).json()["error"]["code"] == 4290
        assert b"safeconduct_open_streams 1.0" in await _metrics(world)
        match how:
            case "answered":
                go.set()
            case "hung up":
                client.hang_up()
            case _:
                await world.revoke(tokens)
        await _counted(world, streams=0, under_way=0)


@pytest.mark.requirement("SEC-64")
async def test_an_upstream_that_fails_leaves_nothing_counted(world: World) -> None:
    _allow(world, 1)
    tokens = await world.tokens()

    async def reset(_seen: Seen, wire: Wire) -> None:
        wire.reset()

    world.upstream.scripts["tools/call"] = reset
    for _ in range(3):
        error = (await world.call(tokens.access)).json()["error"]
        assert error["data"]["reason"] == "upstream_failed"
    await _counted(world, streams=0, under_way=0)


async def test_the_limit_is_a_hundred(world: World) -> None:
    tokens = await world.tokens()
    go = asyncio.Event()

    async def slow(_seen: Seen, wire: Wire) -> None:
        await go.wait()
        await wire.answer(RESULT)

    world.upstream.scripts["tools/call"] = slow
    async with _waiting(world, tokens, 99):
        hundredth = asyncio.create_task(world.call(tokens.access))
        await _counted(world, streams=0, under_way=100)
        assert (await world.call(tokens.access)).json()["error"]["code"] == 4290
        go.set()
        assert (await hundredth).json() == RESULT
    await _counted(world, streams=0, under_way=0)
