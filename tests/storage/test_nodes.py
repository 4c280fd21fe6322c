"""Several nodes on one PostgreSQL: who has to know before a write returns, and for how long."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from safeconduct.core.clock import ManualClock
from safeconduct.storage import (
    LEASE_SECONDS,
    Change,
    Database,
    Epoch,
    Feed,
    Inquiries,
    Lease,
    Membership,
)
from safeconduct.storage.changes import changes
from safeconduct.storage.membership import HEARTBEAT_SECONDS
from safeconduct.storage.nodes import NOW, nodes
from tests.storage import notes

pytestmark = [pytest.mark.slow, pytest.mark.requirement("Z-24")]
_PATIENCE_SECONDS = 20
_SHORT_SECONDS = 0.5


@pytest.fixture
def store() -> str:
    """SQLite has one node, and no table would tell it anything."""
    return "postgresql"


@pytest.fixture(autouse=True)
async def _notes(database: Database) -> None:
    await notes.create(database)


@dataclass
class Node:
    """Another process, as far as the database can tell."""

    database: Database
    feed: Feed
    lease: Lease
    told: list[Change]
    lapses: list[float]
    inquiries: Inquiries


@asynccontextmanager
async def joined(url: str, directory: Path, clock: ManualClock) -> AsyncIterator[Node]:
    epoch = Epoch(directory / "epoch")
    feed = Feed(epoch)
    database = Database(url, feed=feed, clock=clock)
    node = Node(database, feed, Lease(), [], [], Inquiries(patience_seconds=_PATIENCE_SECONDS))
    feed.follow(node.told.append)
    await feed.start(database)
    membership = Membership(
        database,
        feed,
        lease=node.lease,
        lapsed=lambda: node.lapses.append(time.monotonic()),
        inquiries=node.inquiries,
    )
    async with membership:
        yield node
    await database.close()
    epoch.close()


@pytest.fixture
async def other(url: str, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Node]:
    async with joined(url, tmp_path / "other", clock) as node:
        yield node


async def put(database: Database, key: str = "a") -> float:
    """Write a note; returns how many seconds that took."""
    began = time.monotonic()
    async with database.write() as tx:
        await notes.put(tx, key, "one")
    return time.monotonic() - began


async def register(database: Database, name: str, *, for_seconds: float, applied: int = 0) -> None:
    """Be a node that says no more."""
    statement = text(
        "INSERT INTO nodes (id, since, until, applied) "
        f"VALUES (:id, {NOW}, {NOW} + :microseconds, :applied)"
    )
    row = {"id": name, "microseconds": int(for_seconds * 1_000_000), "applied": applied}
    async with database.engine.begin() as connection:
        await connection.execute(statement, row)


async def registered(database: Database) -> set[str]:
    async with database.read() as tx:
        return {row.id for row in await tx.all(select(nodes.c.id))}


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not what():
            await asyncio.sleep(0.01)  # what another connection does announces itself to nobody


async def test_a_node_asks_the_others_and_hears_a_yes_from_whichever_knows(
    url: str, other: Node, tmp_path: Path, clock: ManualClock
) -> None:
    async with joined(url, tmp_path / "third", clock) as third:
        third.inquiries.answer = lambda question: question == "is it open?"
        other.inquiries.answer = lambda question: question == "mine"

        assert await other.inquiries.know("is it open?")
        assert await third.inquiries.know("mine")
        third.inquiries._patience_seconds = 0.2
        assert not await third.inquiries.know("is it open?"), "nobody answers themselves"
    assert not other.lapses


async def test_a_write_returns_when_the_other_node_has_applied_it(
    database: Database, other: Node
) -> None:
    for number in range(20):
        await put(database, str(number))
        assert other.told[-1] == Change("note", "acme", str(number))

    assert not other.lapses


async def test_two_nodes_that_write_at_once_wait_for_each_other_and_not_for_ever(
    other: Node, url: str, tmp_path: Path, clock: ManualClock
) -> None:
    async with joined(url, tmp_path / "third", clock) as third:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            both = (other.database, third.database)
            await asyncio.gather(*(put(each, str(number)) for number in range(10) for each in both))

        assert other.feed.seen == third.feed.seen
        assert not other.lapses + third.lapses


async def test_a_notification_that_got_lost_costs_one_heartbeat(
    database: Database, other: Node, clock: ManualClock
) -> None:
    row = {"at": clock.now(), "kind": "note", "host": "acme", "key": "unsaid"}
    async with database.engine.begin() as connection:
        await connection.execute(insert(changes).values(**row))
    began = time.monotonic()

    await until(lambda: Change("note", "acme", "unsaid") in other.told)

    assert time.monotonic() - began < HEARTBEAT_SECONDS + 1  # and a busy machine's hesitation


async def test_a_node_that_says_nothing_is_waited_for_while_its_lease_runs(
    database: Database,
) -> None:
    await register(database, "silent", for_seconds=_SHORT_SECONDS)

    assert _SHORT_SECONDS * 0.8 < await put(database) < LEASE_SECONDS


async def test_a_node_whose_lease_has_run_out_is_not_waited_for(database: Database) -> None:
    await register(database, "dead", for_seconds=-0.001)

    assert await put(database) < _SHORT_SECONDS


async def test_a_node_that_knows_already_is_not_waited_for(database: Database) -> None:
    await put(database)
    async with database.read() as tx:
        latest = await tx.scalar(select(changes.c.rev).order_by(changes.c.rev.desc()).limit(1))
    await register(database, "quick", for_seconds=60, applied=latest + 1)

    assert await put(database) < _SHORT_SECONDS


async def test_a_node_one_revision_behind_is_waited_for(database: Database) -> None:
    await put(database)
    async with database.read() as tx:
        latest = await tx.scalar(select(changes.c.rev).order_by(changes.c.rev.desc()).limit(1))
    await register(database, "behind", for_seconds=_SHORT_SECONDS, applied=latest)

    assert await put(database) > _SHORT_SECONDS * 0.8


async def test_no_clock_makes_a_write_wait_longer_than_a_lease(database: Database) -> None:
    """A database whose clock was set back keeps rows with a lease of hours."""
    await register(database, "tomorrow", for_seconds=86_400)

    assert LEASE_SECONDS <= await put(database) < LEASE_SECONDS + 2


async def test_nothing_is_locked_while_a_write_waits(database: Database) -> None:
    await register(database, "silent", for_seconds=_SHORT_SECONDS)
    waiting = asyncio.ensure_future(put(database, "first"))
    async with asyncio.timeout(_PATIENCE_SECONDS):
        async with database.read() as tx:
            while await notes.load(tx, ("acme", "first")) is None:
                await asyncio.sleep(0.01)
        async with database.write() as tx:
            await tx.scalar(select(nodes.c.id))

    assert not waiting.done()
    await waiting


async def test_a_transaction_that_changed_nothing_waits_for_nobody(database: Database) -> None:
    await register(database, "silent", for_seconds=60)
    began = time.monotonic()

    async with database.write() as tx:
        await notes.load(tx, ("acme", "a"))

    assert time.monotonic() - began < _SHORT_SECONDS


async def test_who_gives_up_waiting_has_written_all_the_same(database: Database) -> None:
    await register(database, "silent", for_seconds=60)
    waiting = asyncio.ensure_future(put(database))
    await asyncio.sleep(_SHORT_SECONDS)  # by now it waits

    waiting.cancel()
    await asyncio.wait({waiting})

    assert waiting.cancelled()
    async with database.read() as tx:
        assert await notes.load(tx, ("acme", "a")) == "one"


async def test_a_node_that_stops_takes_its_name_off(
    database: Database, url: str, tmp_path: Path, clock: ManualClock
) -> None:
    async with joined(url, tmp_path / "other", clock) as other:
        assert await registered(database) == {other.database.node}
        assert not other.lease.lapsed

    assert await registered(database) == set()
    assert other.lease.lapsed


async def test_the_rows_of_the_dead_are_cleared_away_and_no_others(
    database: Database, url: str, tmp_path: Path, clock: ManualClock
) -> None:
    await register(database, "long dead", for_seconds=-61)
    await register(database, "just dead", for_seconds=-50)

    async with joined(url, tmp_path / "other", clock) as other:
        assert await registered(database) == {"just dead", other.database.node}


async def test_a_node_that_was_thought_dead_comes_back(database: Database, other: Node) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text("DELETE FROM nodes"))

    async with asyncio.timeout(_PATIENCE_SECONDS):
        while await registered(database) != {other.database.node}:
            await asyncio.sleep(0.01)
    await put(database)
    assert other.told


async def test_a_connection_that_is_ended_is_replaced_before_anybody_notices(
    database: Database, other: Node, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        async with database.engine.begin() as connection:
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            )
        await put(database)
        assert other.feed.seen == database._feed.seen

    assert not other.lapses
    assert caplog.records == []


async def test_a_database_that_knows_less_than_before_is_not_believed(
    database: Database, other: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """Restored from a copy, or its stand-in took over: later changes would be overlooked."""
    await put(database)
    async with database.engine.begin() as connection:
        await connection.execute(text("DELETE FROM changes"))

    await until(lambda: other.lease.lapsed)
    await until(lambda: bool(other.lapses))
    async with database.engine.begin() as connection:
        await connection.execute(text("SELECT setval('changes_rev_seq', 1000)"))
    await put(database)
    await asyncio.sleep(2 * HEARTBEAT_SECONDS)  # time enough to be wrong again

    assert other.lease.lapsed
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]
