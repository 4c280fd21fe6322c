"""Edges in memory are the edges in the store, whatever happens in whichever order."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct import relations
from safeconduct.core.clock import ManualClock
from safeconduct.core.model import HostId, Level, ServerKey, SubjectId
from safeconduct.relations import Ceilings, Graph, Relations, Tuple
from safeconduct.storage import Change, Database, Feed

ACME, GLOBEX = HostId("acme"), HostId("globex")


def _picture(graph: Graph) -> set[tuple[str, str, str]]:
    found = set()
    for _, relation, table in graph.tables():
        for index in (table.direct, table.usersets):
            for object_ in index:
                found |= {(object_, relation, each) for each in table.things(object_, 0.0)}
                found |= {(object_, relation, each) for each in table.stand_ins(object_, 0.0)}
    return found


async def _write(database: Database, clock: ManualClock, *texts: str) -> None:
    async with database.write() as tx:
        for text in texts:
            await relations.write(tx, ACME, Tuple.parse(text), source="api", at=clock.now())


async def _stored(database: Database) -> set[tuple[str, str, str]]:
    async with database.read() as tx:
        return {edge.key for edge in await relations.every(tx, ACME)}


_EDGES = st.builds(
    lambda object_, relation, subject: (f"doc:{object_}", relation, subject),
    st.integers(0, 2),
    st.sampled_from(["own", "see"]),
    st.sampled_from([*(f"usr:{n}" for n in range(12)), "grp:a#mem", "grp:b#mem"]),
)


@given(st.lists(st.tuples(st.booleans(), _EDGES), max_size=120))
def test_a_graph_is_the_set_of_its_edges(steps: list[tuple[bool, tuple[str, str, str]]]) -> None:
    graph, kept = Graph(), set[tuple[str, str, str]]()
    for add, edge in steps:
        (graph.add if add else graph.remove)(*edge)
        (kept.add if add else kept.discard)(edge)

    assert _picture(graph) == kept
    assert len(graph) == len(kept)
    backwards = {
        (object_, relation, subject)
        for _, relation, table in graph.tables()
        for subject in table.objects
        for object_ in table.objects_of(subject)
    }
    assert backwards == kept


async def test_a_change_is_in_memory_when_its_write_returns(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    held = Relations(database, feed)
    await _write(database, clock, "doc:1#own@usr:a", "doc:1#own@usr:b")
    graph = await held.graph(ACME)

    await _write(database, clock, "doc:2#own@grp:x#mem", "doc:1#own@usr:a")
    async with database.write() as tx:
        await relations.remove(tx, ACME, Tuple.parse("doc:1#own@usr:b"))

    assert held.held(ACME) is graph
    assert _picture(graph) == await _stored(database)
    assert held.held(GLOBEX) is None
    assert len(await held.graph(GLOBEX)) == 0


async def test_the_last_of_several_changes_in_one_transaction_counts(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    held = Relations(database, feed)
    graph = await held.graph(ACME)
    edge, other = Tuple.parse("doc:1#own@usr:a"), Tuple.parse("doc:1#own@usr:b")
    await _write(database, clock, str(other))
    async with database.write() as tx:
        await relations.write(tx, ACME, edge, source="api", at=clock.now())
        await relations.remove(tx, ACME, other)
        await relations.remove(tx, ACME, edge)
        await relations.write(tx, ACME, other, source="api", at=clock.now())
        await relations.write(tx, ACME, edge, source="api", at=clock.now())
        await relations.remove(tx, ACME, other)

    assert _picture(graph) == await _stored(database) == {edge.key}


@pytest.mark.slow
async def test_changes_while_a_host_is_being_read_are_not_lost(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    held = Relations(database, feed)
    await _write(database, clock, *(f"doc:{n:05}#own@usr:a" for n in range(2500)))

    async def change() -> None:
        await _write(database, clock, "doc:00001#own@usr:b", "doc:09999#own@usr:b")
        async with database.write() as tx:
            for number in (2, 2400):
                await relations.remove(tx, ACME, Tuple.parse(f"doc:{number:05}#own@usr:a"))

    graphs = await asyncio.gather(held.graph(ACME), held.graph(ACME), change())

    assert graphs[0] is graphs[1]
    assert _picture(graphs[0]) == await _stored(database)


async def test_writing_an_edge_with_another_expiry_is_a_change(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    told: list[Change] = []
    feed.follow(told.append)
    texts = [
        "doc:1#own@usr:a[expiration:2030-01-01T00:00:00Z]",
        "doc:1#own@usr:a[expiration:2030-01-01T00:00:00Z]",
        "doc:1#own@usr:a",
    ]
    for text in texts:
        await _write(database, clock, text)

    assert [change.key for change in told] == [f"+{texts[0]}", f"+{texts[2]}"]
    async with database.write() as tx:
        assert await relations.every(tx, ACME) == [Tuple.parse(texts[2])]
        assert await relations.expired(tx, at=clock.now(), most=9) == []


async def test_a_ceiling_that_expires_is_none(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    ceilings = Ceilings(database, feed)
    await _write(database, clock, "server:s#high@person:p[expiration:2030-01-01T00:00:00Z]")

    assert await ceilings.of(ACME, SubjectId("p"), ()) == {}


@pytest.mark.parametrize("subject", ["person:p", "group:g#member"])
async def test_who_has_no_ceiling_has_one_with_the_next_tuple_and_none_without_it(
    database: Database, feed: Feed, clock: ManualClock, subject: str
) -> None:
    ceilings = Ceilings(database, feed)

    async def on() -> Level | None:
        return await ceilings.on(ACME, SubjectId("p"), ("g",), ServerKey("s"))

    assert (await on(), await on()) == (None, None)
    await _write(database, clock, f"server:s#medium@{subject}")
    assert (await on(), await on()) == (Level.MEDIUM, Level.MEDIUM)
    async with database.write() as tx:
        await relations.remove(tx, ACME, Tuple.parse(f"server:s#medium@{subject}"))
    assert await on() is None


async def test_what_cannot_be_spelled_cannot_be_stored(
    database: Database, clock: ManualClock
) -> None:
    for edge in (
        Tuple(object="doc:a@b", relation="own", subject="usr:a"),
        Tuple(object="doc:1", relation="own", subject="usr:a#b#c"),
        Tuple(object="doc:1", relation="own", subject="usr:[expiration:2030-01-01T00:00:00Z]"),
    ):
        with pytest.raises(ValueError, match="object#relation@subject"):
            async with database.write() as tx:
                await relations.write(tx, ACME, edge, source="api", at=clock.now())
