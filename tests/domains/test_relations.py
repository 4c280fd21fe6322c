"""Edges and ceilings: the highest tuple that applies, and none is no access."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct import relations
from safeconduct.core.clock import ManualClock
from safeconduct.core.model import HostId, Level, ServerKey, SubjectId
from safeconduct.relations import Ceilings, Tuple, ceiling_tuple, members, person
from safeconduct.storage import Database, Feed

ACME, GLOBEX = HostId("acme"), HostId("globex")
ALICE, BOB = SubjectId("p_alice"), SubjectId("p_bob")
TICKETS, CHAT = ServerKey("tickets"), ServerKey("chat")


async def _write(
    database: Database, clock: ManualClock, *edges: Tuple, host: HostId = ACME
) -> None:
    async with database.write() as tx:
        for edge in edges:
            await relations.write(tx, host, edge, source="config", at=clock.now())


@pytest.mark.requirement("Z-12", "A-19")
async def test_without_a_tuple_there_is_no_ceiling_and_no_access(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    ceilings = Ceilings(database, feed)
    await _write(database, clock, ceiling_tuple(TICKETS, Level.MEDIUM, person(ALICE)))

    assert await ceilings.of(ACME, ALICE, ()) == {TICKETS: Level.MEDIUM}
    assert await ceilings.on(ACME, ALICE, (), TICKETS) is Level.MEDIUM
    assert await ceilings.on(ACME, ALICE, (), CHAT) is None
    assert await ceilings.of(ACME, BOB, ()) == {}


@pytest.mark.requirement("Z-07", "Z-12")
@pytest.mark.parametrize("own", [None, *Level])
@pytest.mark.parametrize("shared", [None, *Level])
async def test_the_highest_of_ones_own_and_the_groups_ceilings_counts(
    database: Database, feed: Feed, clock: ManualClock, own: Level | None, shared: Level | None
) -> None:
    ceilings = Ceilings(database, feed)
    if own is not None:
        await _write(database, clock, ceiling_tuple(TICKETS, own, person(ALICE)))
    if shared is not None:
        await _write(database, clock, ceiling_tuple(TICKETS, shared, members("engineering")))

    found = await ceilings.on(ACME, ALICE, ("engineering", "chess"), TICKETS)

    assert found == max((level for level in (own, shared) if level is not None), default=None)
    assert await ceilings.on(ACME, ALICE, ("chess",), TICKETS) == own


@pytest.mark.requirement("Z-26", "Z-12")
async def test_lowering_raising_and_removing_a_ceiling_acts_at_the_next_look(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    ceilings = Ceilings(database, feed)
    high = ceiling_tuple(TICKETS, Level.HIGH, person(ALICE))
    low = ceiling_tuple(TICKETS, Level.LOW, person(ALICE))
    await _write(database, clock, high, low)
    assert await ceilings.on(ACME, ALICE, (), TICKETS) is Level.HIGH

    async with database.write() as tx:
        await relations.remove(tx, ACME, high)
    assert await ceilings.on(ACME, ALICE, (), TICKETS) is Level.LOW

    async with database.write() as tx:
        await relations.remove(tx, ACME, low)
    assert await ceilings.on(ACME, ALICE, (), TICKETS) is None


@pytest.mark.requirement("X-01", "S-10", "L-19")
async def test_a_ceiling_on_one_host_is_none_on_another(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    ceilings = Ceilings(database, feed)
    edge = ceiling_tuple(TICKETS, Level.HIGH, person(ALICE))
    await _write(database, clock, edge)

    assert await ceilings.on(GLOBEX, ALICE, (), TICKETS) is None
    async with database.write() as tx:
        assert await relations.every(tx, GLOBEX) == []
        await relations.remove(tx, GLOBEX, edge)
        assert await relations.every(tx, ACME) == [edge]


async def test_edges_that_are_no_ceilings_grant_nothing(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    ceilings = Ceilings(database, feed)
    await _write(
        database,
        clock,
        Tuple(object="server:tickets", relation="owner", subject=person(ALICE)),
        Tuple(object="ticket:server", relation="high", subject=person(ALICE)),
        Tuple(object="server_old:tickets", relation="high", subject=person(ALICE)),
    )

    assert await ceilings.of(ACME, ALICE, ()) == {}


async def test_an_edge_stored_twice_is_one_edge_and_keeps_its_source(
    database: Database, clock: ManualClock
) -> None:
    edge = Tuple.parse("ticket:T-7#assignee@user:alice@acme.test")
    await _write(database, clock, edge, edge)

    async with database.write() as tx:
        await relations.write(tx, ACME, edge, source="api", at=clock.now())
        assert await relations.every(tx, ACME, source="config") == [edge]
        assert await relations.every(tx, ACME, source="api") == []


@pytest.mark.parametrize(
    "text",
    [
        "server:tickets#medium@person:p_1",
        "server:tickets#medium@group:engineering#member",
        "ticket:T-7#assignee@user:alice@acme.test",
    ],
)
def test_the_text_form_is_read_as_it_is_written(text: str) -> None:
    assert str(Tuple.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "server:tickets#medium",
        "server:tickets@person:p_1",
        "server:#medium@person:p_1",
        "Server:tickets#medium@person:p_1",
        "server:tick ets#medium@person:p_1",
        "server:tickets#medium@person:p_1#",
        "server:tickets#Medium@person:p_1",
        "server:tickets#medium@person:p_1\n",
        "server:tickets#medium#x@person:p_1",
        f"server:{'x' * 257}#medium@person:p_1",
        f"server:tickets#medium@user:{'x' * 257}@acme.test",
    ],
)
def test_other_text_is_no_edge(text: str) -> None:
    with pytest.raises(ValueError, match="object#relation@subject"):
        Tuple.parse(text)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 80))
def test_every_edge_that_can_be_read_can_be_stored(own: int, domain: int, name: int) -> None:
    text = f"{'t' * name}:x#{'r' * name}@{'t' * name}:{'x' * own}@{'y' * domain}#{'m' * name}"
    try:
        edge = Tuple.parse(text)
    except ValueError:
        return

    assert len(edge.subject) <= 512
    assert len(edge.object) <= 512
    assert len(edge.relation) <= 64
