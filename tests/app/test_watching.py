"""Reading servers again: for a person who waits, after a hint, and now and then."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from safeconduct.core.model import HostId, ServerKey
from safeconduct.upstreams import Server
from tests.road.upstream import Seen, Wire, tool
from tests.road.world import World, world_at

ACME, TICKETS = HostId("acme"), ServerKey("tickets")


async def _tickets(world: World) -> Server:
    server = await world.parts.catalogue.get(ACME, TICKETS)
    assert server is not None
    return server


async def _down(_seen: Seen, wire: Wire) -> None:
    wire.reset()


@pytest.mark.requirement("C-06", "P-08")
async def test_a_server_is_read_while_a_person_waits(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        watch = world.gateway._answers.watch
        world.upstream.tools.append(tool("list_labels"))

        assert await watch.reach(ACME, TICKETS)
        assert (await _tickets(world)).tools["list_labels"].state == "new"
        read = len(world.upstream.seen)
        assert read
        assert all(await asyncio.gather(*(watch.reach(ACME, TICKETS) for _ in range(20))))
        assert len(world.upstream.seen) == read, "a moment ago is recent enough"


@pytest.mark.requirement("C-06")
async def test_a_server_that_is_down_is_noted_and_found_again(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        watch = world.gateway._answers.watch
        world.upstream.scripts |= dict.fromkeys(("server/discover", "initialize"), _down)

        assert not await watch.reach(ACME, TICKETS)
        assert (await _tickets(world)).problem
        assert await watch.check(ACME, TICKETS) == []
        world.upstream.scripts.clear()
        assert await watch.check(ACME, TICKETS) == []
        assert (await _tickets(world)).problem is None


@pytest.mark.requirement("Z-22")
async def test_what_changed_is_returned_and_written_down(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        world.upstream.tools[0] = tool("get_issue", description="Something else.")

        assert await world.gateway._answers.watch.check(ACME, TICKETS) == ["get_issue"]
        assert [e["resource"] for e in world.events("tool.changed")] == ["get_issue"]
        assert (await _tickets(world)).tools["get_issue"].state == "changed"


@pytest.mark.slow
async def test_a_server_nobody_has_is_not_reached(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        watch = world.gateway._answers.watch

        assert not await watch.reach(ACME, ServerKey("none"))
        assert await watch.check(ACME, ServerKey("none")) == []
        assert world.upstream.seen == []
