"""A server that is down is named: to the client, to operators and in the log, with what to do."""

from __future__ import annotations

import asyncio
import logging

import httpx2
import pytest

from safeconduct.core.model import HostId, ServerKey
from tests.road.upstream import PATIENCE_SECONDS, Seen, Wire
from tests.road.world import ACME, LEGACY, MODERN, World

HOST, TICKETS = HostId("acme"), ServerKey("tickets")


async def _down(_seen: Seen, wire: Wire) -> None:
    wire.reset()


def _goes_down(world: World) -> None:
    world.upstream.scripts |= dict.fromkeys(
        ("server/discover", "initialize", "tools/call", "tools/list"), _down
    )


async def _noted(world: World, *, down: bool) -> None:
    """Wait until the catalogue knows whether the server answers."""
    changed = asyncio.Event()
    world.parts.feed.follow(lambda _: changed.set())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            changed.clear()
            server = await world.parts.catalogue.get(HOST, TICKETS)
            if server is not None and (server.problem is not None) is down:
                return
            await changed.wait()


@pytest.mark.parametrize("version", [MODERN, LEGACY])
async def test_a_call_of_a_server_that_is_down_says_which_and_what_to_do(
    world: World, version: str
) -> None:
    tokens = await world.tokens()
    _goes_down(world)

    answer = await world.call(tokens.access, version=version)

    said = answer.json()["error"]["message"]
    assert said.startswith("Tickets ")
    assert "tell an admin of this host" in said


async def test_a_server_that_is_down_is_known_everywhere_and_so_is_its_return(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = await world.tokens()
    _goes_down(world)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await world.call(tokens.access)
        await _noted(world, down=True)
        watch = world.gateway._answers.watch
        await watch.reread(HOST, TICKETS)

    down = [each for each in caplog.messages if "cannot be read" in each]
    assert len(down) == 1, "it is news once"
    assert "server tickets of host acme" in down[0]
    assert "servers check" in down[0]
    async with httpx2.AsyncClient(timeout=PATIENCE_SECONDS) as http:
        address = f"http://127.0.0.1:{world.port}/readyz"
        here = await http.get(address)
        elsewhere = await http.get(address, headers={"x-forwarded-for": "198.51.100.7"})
    assert here.status_code == elsewhere.status_code == 200
    assert here.json()["status"] == elsewhere.json()["status"] == "degraded"
    assert "acme/tickets" in here.json()
    assert "tickets" not in elsewhere.text
    assert "1 of the servers" in elsewhere.text

    world.upstream.scripts.clear()
    with caplog.at_level(logging.WARNING):
        await watch.check(HOST, TICKETS)
    assert any("answers again" in each for each in caplog.messages)
    assert "result" in (await world.call(tokens.access)).json()
    assert (await world.http.get(f"{ACME}/readyz")).status_code == 200
