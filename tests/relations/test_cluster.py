"""A SpiceDB cluster gives the answers this process gives, at once, or none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from safeconduct import relations
from safeconduct.core.clock import ManualClock
from safeconduct.core.model import HostId
from safeconduct.relations import (
    Backend,
    BackendUnavailable,
    Embedded,
    Question,
    Relations,
    Subjects,
    Tuple,
    host_schema,
    open_spicedb,
)
from safeconduct.storage import Database, Feed
from tests.relations.oracle import Oracle, is_there

if is_there():
    from tests.relations.cluster import Cluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_there(), reason="SpiceDB is not in tools/node/node_modules"),
]
ACME, GLOBEX = HostId("acme"), HostId("globex")
OWN = """
definition document {
    relation owner: person
    relation reader: person | person:* | group#member
    relation banned: person
    permission read = owner + owner->represented + reader - banned
}
"""
SCHEMAS = {ACME: host_schema(OWN), GLOBEX: host_schema()}


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    oracle = Oracle()
    yield oracle
    oracle.close()


@pytest.fixture
async def cluster(oracle: Oracle) -> AsyncIterator[tuple[Cluster, str]]:
    cluster = Cluster(oracle)
    target = await cluster.start()
    yield cluster, target
    await cluster.stop()


@pytest.fixture
async def remote(
    cluster: tuple[Cluster, str], database: Database, feed: Feed
) -> AsyncIterator[Backend]:
    async with open_spicedb(
        database,
        feed,
        target=cluster[1],
        token="key",
        schema_of=SCHEMAS.__getitem__,
        plaintext=True,
    ) as backend:
        yield backend


@pytest.fixture
def local(database: Database, feed: Feed, clock: ManualClock) -> Backend:
    return Embedded(Relations(database, feed), schema_of=SCHEMAS.__getitem__, clock=clock)


async def _write(database: Database, clock: ManualClock, *texts: str, host: HostId = ACME) -> None:
    async with database.write() as tx:
        for text in texts:
            await relations.write(tx, host, Tuple.parse(text), source="api", at=clock.now())


async def _remove(database: Database, *texts: str, host: HostId = ACME) -> None:
    async with database.write() as tx:
        for text in texts:
            await relations.remove(tx, host, Tuple.parse(text))


def _ask(text: str) -> Question:
    edge = Tuple.parse(text)
    return Question(object=edge.object, permission=edge.relation, subject=edge.subject)


async def test_both_answer_alike_and_a_write_is_seen_by_the_next_check(
    remote: Backend, local: Backend, database: Database, clock: ManualClock
) -> None:
    await _write(
        database,
        clock,
        "document:7#owner@person:alice",
        "document:7#reader@group:eng#member",
        "group:eng#member@person:bob",
        "group:eng#member@group:core#member",
        "group:core#member@person:carol",
        "person:alice#mandate@agent:ci-bot",
        "document:8#reader@person:*",
        "document:8#banned@person:bob",
        "ticket:T.7#assignee@user:dave",
        "team:x#lead@user:erin@acme.test",
        "ticket:T.8#assignee@team:x#lead",
    )
    subjects = [
        "person:alice",
        "person:bob",
        "person:carol",
        "agent:ci-bot",
        "user:dave",
        "user:erin@acme.test",
    ]
    questions = [
        Question(object=thing, permission=permission, subject=subject)
        for thing, permission in [
            ("document:7", "read"),
            ("document:8", "read"),
            ("ticket:T.7", "assignee"),
            ("ticket:T.8", "assignee"),
        ]
        for subject in subjects
    ]
    ours = [each.allowed for each in await local.check_many(ACME, questions)]
    theirs = [each.allowed for each in await remote.check_many(ACME, questions)]
    assert ours == theirs
    assert sum(ours) == 8

    await _remove(database, "group:core#member@person:carol")
    assert not (await remote.check(ACME, _ask("document:7#read@person:carol"))).allowed
    await _write(database, clock, "group:core#member@person:carol")
    assert (await remote.check(ACME, _ask("document:7#read@person:carol"))).allowed

    for subject in subjects[:4]:
        ours_found = await local.lookup_resources(ACME, "document", "read", subject)
        assert await remote.lookup_resources(ACME, "document", "read", subject) == ours_found
    assert await remote.lookup_subjects(ACME, "document:7", "read", "person") == Subjects(
        found=("person:alice", "person:bob", "person:carol")
    )


async def test_hosts_share_nothing_in_a_cluster(
    remote: Backend, database: Database, clock: ManualClock
) -> None:
    await _write(database, clock, "group:eng#member@person:bob")
    question = _ask("group:eng#member@person:bob")

    assert (await remote.check(ACME, question)).allowed
    assert not (await remote.check(GLOBEX, question)).allowed


async def test_a_cluster_that_does_not_answer_is_a_no_and_forgets_nothing(
    remote: Backend, cluster: tuple[Cluster, str], database: Database, clock: ManualClock
) -> None:
    question = _ask("group:eng#member@person:bob")
    assert not (await remote.check(ACME, question)).allowed
    cluster[0].down = True
    await _write(database, clock, "group:eng#member@person:bob")
    with pytest.raises(BackendUnavailable):
        await remote.check(ACME, question)
    with pytest.raises(BackendUnavailable):
        await remote.lookup_resources(ACME, "group", "member", "person:bob")

    cluster[0].down = False

    assert (await remote.check(ACME, question)).allowed


async def test_a_slow_node_does_not_undo_what_a_faster_one_did(
    remote: Backend,
    cluster: tuple[Cluster, str],
    database: Database,
    feed: Feed,
    clock: ManualClock,
) -> None:
    """The slow one is about to ship `+` when the faster one ships `+` and `-`."""
    question = _ask("group:eng#member@person:bob")
    assert not (await remote.check(ACME, question)).allowed
    async with open_spicedb(
        database,
        feed,
        target=cluster[1],
        token="key",
        schema_of=SCHEMAS.__getitem__,
        plaintext=True,
    ) as faster:

        async def meanwhile() -> None:
            await _remove(database, "group:eng#member@person:bob")
            assert not (await faster.check(ACME, question)).allowed

        await _write(database, clock, "group:eng#member@person:bob")
        cluster[0].before_write = meanwhile

        assert not (await remote.check(ACME, question)).allowed
        assert not (await faster.check(ACME, question)).allowed


async def test_relations_of_one_decision_are_refused_and_never_stored(
    remote: Backend, database: Database, clock: ManualClock
) -> None:
    passing = Tuple.parse("person:alice#delegate@agent:a")
    await _write(database, clock, str(passing), "document:7#owner@person:alice")

    assert not (await remote.check(ACME, _ask("document:7#read@agent:a"))).allowed
    with pytest.raises(BackendUnavailable, match="no room"):
        await remote.check(ACME, _ask("document:7#read@agent:a"), contextual=[passing])


async def test_a_changed_schema_goes_to_the_cluster_before_the_next_answer(
    remote: Backend, database: Database, clock: ManualClock
) -> None:
    await _write(database, clock, "document:7#owner@person:alice", "document:7#banned@person:alice")
    question = _ask("document:7#read@person:alice")
    assert not (await remote.check(ACME, question)).allowed

    SCHEMAS[ACME] = host_schema(OWN.replace(" - banned", ""))
    try:
        assert (await remote.check(ACME, question)).allowed
    finally:
        SCHEMAS[ACME] = host_schema(OWN)
