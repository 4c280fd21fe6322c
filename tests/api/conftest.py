"""A world whose hosts have enforcement points, and relations of tickets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from safeconduct.core.model import Level
from safeconduct.policy import OwnRules
from tests.api.asking import FOREIGN, SCHEMA, SECOND, SECRET, Point, points
from tests.road.world import Tokens, World, world_at


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    directory = tmp_path_factory.mktemp("api")
    acme = points(directory, mesh=SECRET, second=SECOND)
    other = points(directory, foreign=FOREIGN)
    async with world_at(directory, asgi=True, acme=acme, other=other) as world:
        await world.rules(OwnRules(schema=SCHEMA))
        yield world


@pytest.fixture(scope="module")
async def tokens(world: World) -> Tokens:
    """Alice's agent, let in to tickets at level medium."""
    return await world.tokens(level=Level.MEDIUM)


@pytest.fixture
def point(world: World, tokens: Tokens) -> Point:
    assert tokens.subject  # somebody has signed in before anything is asked
    return Point(world)
