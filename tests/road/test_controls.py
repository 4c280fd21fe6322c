"""One host, one agent: each tool of each server under its own level and its own conditions."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from safeconduct import approvals
from safeconduct.core.model import HostId, Level
from safeconduct.proxy.refusals import THROTTLED
from safeconduct.upstreams import Override
from tests.road.upstream import PATIENCE_SECONDS
from tests.road.world import Tokens, World, world_at

# A process judges the rules.
pytestmark = [pytest.mark.requirement("Z-41"), pytest.mark.slow]
RULES = Path(__file__).parent.parent / "scenarios" / "controls"
ADDRESS = "alice@acme.test"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    shutil.copytree(RULES, tmp_path / "rules")
    async with world_at(tmp_path, acme={"policy": {"directory": "rules"}}) as world:
        yield world


async def call(world: World, tokens: Tokens, server: str, name: str) -> httpx2.Response:
    arguments = {"id": "T-7", "email": ADDRESS}
    return await world.call(tokens.access, name, path=f"/mcp/{server}", arguments=arguments)


async def code(world: World, tokens: Tokens, server: str, name: str) -> Any:
    said = (await call(world, tokens, server, name)).json()
    return said["error"]["code"] if "error" in said else "result"


async def test_each_tool_of_each_server_is_controlled_in_its_own_way(world: World) -> None:
    await world.override("get_issue", Override(level=Level.HIGH), server="notes")
    tickets = await world.tokens()
    notes = await world.tokens(server="notes", level=Level.MEDIUM)

    # One hides, one is counted; on the other server neither is so.
    assert ADDRESS not in (await call(world, tickets, "tickets", "get_issue")).text
    assert ADDRESS in (await call(world, notes, "notes", "create_issue")).text
    counted = [await code(world, tickets, "tickets", "create_issue") for _ in range(2)]
    assert counted == ["result", THROTTLED]
    assert [await code(world, notes, "notes", "create_issue") for _ in range(2)] == ["result"] * 2

    # What reads here is risky there.
    assert await code(world, tickets, "tickets", "get_issue") == "result"
    refused = await call(world, notes, "notes", "get_issue")
    assert refused.json()["error"]["data"]["reason"] == "consent.level"


async def test_one_tool_waits_for_an_operator_and_its_namesake_does_not(world: World) -> None:
    tickets, notes = await world.tokens(), await world.tokens(server="notes")
    queue = world.parts.approvals

    held = asyncio.create_task(code(world, tickets, "tickets", "delete_issue"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (waiting := await _waiting(world)):
            await asyncio.sleep(0.01)  # a table offers nothing to wait for
        assert await code(world, notes, "notes", "delete_issue") == "result"
        assert await code(world, tickets, "tickets", "get_issue") == "result"
        assert [call.message["params"]["name"] for call in world.upstream.calls()] == [
            "delete_issue",
            "get_issue",
        ]
        (asked,) = waiting
        await queue.decide(asked.host, asked.id, approve=True, by="root", reason=None)
        assert await held == "result"


async def _waiting(world: World) -> list[approvals.Approval]:
    async with world.parts.database.read() as tx:
        return await approvals.waiting(tx, HostId("acme"), at=world.clock.now())
