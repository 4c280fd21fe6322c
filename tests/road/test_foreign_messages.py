"""Messages about other requests: one's own open ones, and nobody else's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from tests.road.upstream import Seen, Wire
from tests.road.world import LEGACY, MODERN, Line, Tokens, World, eventually, line

pytestmark = pytest.mark.requirement("SEC-32", "P-11")
CALL = {"name": "get_issue", "arguments": {"id": "T-7"}}
ASK = {
    "jsonrpc": "2.0",
    "id": 5,
    "method": "elicitation/create",
    "params": {"message": "Sure?", "_meta": {"progressToken": "p-5"}},
}


def cancel(request_id: Any) -> dict[str, Any]:
    params = {"requestId": request_id}
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}


def progress(token: Any) -> dict[str, Any]:
    params = {"progressToken": token, "progress": 1}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}


def reply(request_id: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "result": {"action": "accept"}}


async def tell(
    world: World, tokens: Tokens, message: dict[str, Any], *, version: str = LEGACY
) -> httpx2.Response:
    body = json.dumps(message).encode()
    method = message.get("method", "")
    return await world.send(tokens.access, method, version=version, body=body)


async def passes(world: World, tokens: Tokens, message: dict[str, Any], **more: Any) -> bool:
    """Whether a message reaches the server; it is 202 either way, and says nothing."""
    before = arrivals(world, message)
    answer = await tell(world, tokens, message, **more)
    assert (answer.status_code, answer.content) == (202, b"")
    return arrivals(world, message) > before


def arrivals(world: World, message: dict[str, Any]) -> int:
    return sum(seen.message == message for seen in world.upstream.seen)


@asynccontextmanager
async def calling(world: World, tokens: Tokens, version: str = LEGACY) -> AsyncIterator[Line]:
    """Have a call under way, with id 1, on whose stream the older server asks something."""

    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await (wire.event(ASK) if version == LEGACY else wire.chunk(b": working\n\n"))
        await wire.gone()

    world.upstream.scripts["tools/call"] = play
    async with line(world) as client:
        await client.post(tokens.access, "tools/call", CALL, version=version)
        assert (await client.head())[0] == 200
        await client.chunk()
        yield client


@pytest.mark.parametrize("version", [LEGACY, MODERN])
async def test_a_cancellation_reaches_the_server_for_ones_own_open_request_alone(
    world: World, version: str
) -> None:
    alice, bob = await world.tokens(), await world.tokens(person="bob")
    assistant = await world.tokens(client="assistant")
    assert not await passes(world, alice, cancel(1), version=version)
    async with calling(world, alice, version):
        for foreign in (bob, assistant):
            assert not await passes(world, foreign, cancel(1), version=version)
        for unknown in ("1", 2, None, True):
            assert not await passes(world, alice, cancel(unknown), version=version)
        assert await passes(world, alice, cancel(1), version=version)
    metrics = (await world.http.get("/metrics", headers={"host": "localhost"})).text
    assert 'dropped_messages_total{kind="notifications/cancelled"} 7.0' in metrics


async def test_answers_and_progress_reach_the_server_from_whom_it_asked_alone(
    world: World,
) -> None:
    alice, bob = await world.tokens(), await world.tokens(person="bob")
    async with calling(world, alice):
        for nobodys in (reply("5"), reply(1), progress(5), progress("p-6"), cancel(5)):
            assert not await passes(world, alice, nobodys)
        for message in (reply(5), progress("p-5")):
            assert not await passes(world, bob, message)
        assert await passes(world, alice, progress("p-5"))
        assert await passes(world, alice, reply(5))
        assert not await passes(world, alice, reply(5)), "it was answered"


async def test_what_is_about_no_request_passes_as_before(world: World) -> None:
    alice = await world.tokens()
    for method in ("notifications/initialized", "notifications/roots/list_changed"):
        assert await passes(world, alice, {"jsonrpc": "2.0", "method": method})


async def test_after_the_connection_broke_it_is_ones_own_for_ten_minutes(world: World) -> None:
    """In the older era a broken connection is no cancellation; the message is."""
    alice = await world.tokens()
    async with calling(world, alice) as client:
        client.hang_up()
        await eventually(world, "call.outcome")

        world.clock.advance(timedelta(seconds=590))
        assert await passes(world, alice, cancel(1))
        assert await passes(world, alice, reply(5))
        world.clock.advance(timedelta(seconds=11))
        assert not await passes(world, alice, cancel(1))


async def test_a_request_that_was_answered_is_no_longer_open(world: World) -> None:
    alice = await world.tokens()
    assert (await world.call(alice.access, version=LEGACY)).status_code == 200

    assert not await passes(world, alice, cancel(1))
    requests = world.gateway._answers.returns._requests
    assert not requests._sessions, "a call leaves nothing behind"


async def test_many_foreign_messages_at_once_reach_nobody_and_cost_nobody(world: World) -> None:
    alice, bob = await world.tokens(), await world.tokens(person="bob")
    async with calling(world, alice), AsyncExitStack():
        answers = await asyncio.gather(*[tell(world, bob, cancel(each)) for each in range(100)])
        assert {answer.status_code for answer in answers} == {202}
        assert not any(arrivals(world, cancel(each)) for each in range(100))
        assert await passes(world, alice, cancel(1))
