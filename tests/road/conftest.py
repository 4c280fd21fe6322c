"""Worlds for the road: one shared by a module's tests, and fresh ones for tests that change it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.road.world import Tokens, World, world_at


@pytest.fixture(scope="module", params=[pytest.param("socket", marks=pytest.mark.slow), "asgi"])
async def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """One world per module and way in: MCP messages take a shorter one over the socket."""
    asgi = request.param == "asgi"
    async with world_at(tmp_path_factory.mktemp("road"), asgi=asgi) as world:
        yield world


@pytest.fixture(scope="module")
async def tokens(shared: World) -> Tokens:
    """Alice's agent, let in at level high."""
    return await shared.tokens()


@pytest.fixture
async def road(shared: World) -> AsyncIterator[World]:
    """The module's world, with a server that has seen nothing yet."""
    shared.upstream.reset()
    yield shared
    assert shared.upstream.failures == []


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world of the test's own."""
    async with world_at(tmp_path) as world:
        yield world
