"""Groups of people are tuples too: there with the people, gone with them, and nobody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct import people, relations
from safeconduct.core.model import Level, ServerKey
from safeconduct.relations import (
    API,
    CONFIGURATION,
    DIRECTORY,
    Tuple,
    ceiling_tuple,
    group,
    members,
)
from tests.app.worlds import ACME, BASE, World, a_world

pytestmark = pytest.mark.requirement("Z-08", "Z-40")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as made:
        await made.provisioner.apply(made.settings())
        yield made


async def _groups(world: World, source: str | None = DIRECTORY) -> set[str]:
    """Return `group email` of each membership that is stored."""
    async with world.database.read() as tx:
        emails = {each.id: each.email for each in await people.every(tx, ACME)}
        edges = await relations.every(tx, ACME, source=source)
    return {
        f"{each.object.removeprefix('group:')} {emails[each.subject.removeprefix('person:')]}"  # type: ignore[index]
        for each in edges
        if each.relation == "member"
    }


async def _apply(world: World, text: str) -> list[str]:
    return [str(step) for step in (await world.provisioner.apply(world.settings(text))).steps]


BOTH = {"engineering alice@acme.test", "sales bob@acme.test"}


async def test_groups_come_and_go_with_people(world: World) -> None:
    assert await _groups(world) == BOTH

    await _apply(world, BASE.replace("[sales]", "[sales, engineering]"))
    assert await _groups(world) == BOTH | {"engineering bob@acme.test"}

    bob = "      - {email: bob@acme.test, name: Bob, groups: [sales]}\n"
    await _apply(world, BASE.replace(bob, ""))
    assert await _groups(world) == {"engineering alice@acme.test"}

    await _apply(world, BASE)
    assert await _groups(world) == BOTH


async def test_a_plan_says_nothing_of_them_and_the_second_apply_writes_nothing(
    world: World,
) -> None:
    later = BASE.replace("[sales]", "[engineering]")
    steps = await _apply(world, later)
    assert not any("relation" in step for step in steps)

    heard: list[str] = []
    world.feed.follow(lambda change: heard.append(change.kind))
    assert await _apply(world, later) == []
    assert heard == []


async def test_those_of_people_from_before_are_caught_up_with(world: World) -> None:
    async with world.database.write() as tx:
        for edge in await relations.every(tx, ACME, source=DIRECTORY):
            await relations.remove(tx, ACME, edge)
        gone = Tuple.parse("group:gone#member@person:p_none")
        await relations.write(tx, ACME, gone, source=DIRECTORY, at=world.clock.now())

    assert await _apply(world, BASE) == []

    assert await _groups(world) == BOTH


async def test_the_strongest_source_that_wants_a_tuple_has_it(world: World) -> None:
    alice = await world.subject("alice@acme.test")
    text = "group:engineering#member@user:alice@acme.test"
    said = BASE.replace('relations: ["', f'relations: ["{text}", "')
    edge = Tuple(object="group:engineering", relation="member", subject=f"person:{alice}")
    async with world.database.write() as tx:
        await relations.write(tx, ACME, edge, source=API, at=world.clock.now())
    assert await _groups(world) == BOTH  # a request takes nothing from the directory

    await _apply(world, said)
    assert "engineering alice@acme.test" in await _groups(world, CONFIGURATION)
    assert await _apply(world, said) == []
    alone = said.replace("groups: [engineering]", "groups: []")
    await _apply(world, alone)
    assert "engineering alice@acme.test" in await _groups(world, CONFIGURATION)
    assert await _apply(world, alone) == []

    await _apply(world, said)
    await _apply(world, BASE)
    assert await _groups(world) == BOTH
    assert await _apply(world, BASE) == []


async def test_a_group_of_any_name_is_a_tuple_and_gives_its_ceiling(world: World) -> None:
    name = "Platform #1 @ 50% [old]"
    said = BASE.replace("groups: [sales]", f"groups: ['{name}']")
    said = said.replace("{group: sales,", f"{{group: '{name}',")

    steps = await _apply(world, said)

    assert any(f"ceiling on chat for group {name}: none -> low" in step for step in steps)
    assert "Platform%20%231%20%40%2050%25%20%5Bold] bob@acme.test" in await _groups(world)
    bob = await world.subject("bob@acme.test")
    assert await world.ceilings.on(ACME, bob, [name], ServerKey("chat")) is Level.LOW
    assert await _apply(world, said) == []


@pytest.mark.slow
@given(st.lists(st.text(min_size=1, max_size=200), min_size=2, max_size=2, unique=True))
def test_no_two_groups_are_spelled_alike_and_each_can_be_stored(names: list[str]) -> None:
    spelled = [group(name) for name in names]

    assert spelled[0] != spelled[1]
    for name, object_ in zip(names, spelled, strict=True):
        edge = Tuple(object=object_, relation="member", subject="person:p_1")
        assert Tuple.parse(str(edge)) == edge
        ceiling = ceiling_tuple(ServerKey("tickets"), Level.LOW, members(name))
        assert Tuple.parse(str(ceiling)) == ceiling
        assert "%~" in object_ or unquote(object_) == f"group:{name}"
