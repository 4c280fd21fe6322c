"""Transactions, on both stores."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from safeconduct.core.clock import ManualClock
from safeconduct.storage import Database, Epoch, Feed, Write
from safeconduct.storage.changes import changes
from tests.storage import notes

_PATIENCE_SECONDS = 20


@pytest.fixture(autouse=True)
async def _notes(database: Database) -> None:
    await notes.create(database)


async def _stored(database: Database, key: str = "a") -> str | None:
    async with database.read() as tx:
        return await notes.load(tx, ("acme", key))


async def _announced(database: Database) -> list[tuple[int, str]]:
    async with database.read() as tx:
        rows = await tx.all(select(changes.c.rev, changes.c.key).order_by(changes.c.rev))
    return [(row.rev, row.key) for row in rows]


async def _failing(database: Database) -> None:
    async with database.write() as tx:
        await notes.put(tx, "a", "one")
        raise LookupError


async def test_leaving_the_block_commits(database: Database) -> None:
    async with database.write() as tx:
        await notes.put(tx, "a", "one")

    assert await _stored(database) == "one"


@pytest.mark.requirement("SEC-13")
async def test_what_a_statement_was_given_is_not_in_its_error(database: Database) -> None:
    """Errors are logged; digests, hashes and addresses are not."""
    with pytest.raises(DBAPIError) as refused:
        async with database.write() as tx:
            await tx.execute(text("insert into nowhere values (:given)").bindparams(given="s3same"))

    assert "nowhere" in str(refused.value)
    assert "s3same" not in str(refused.value)


async def test_an_exception_rolls_back_and_announces_nothing(
    database: Database, feed: Feed, epoch: Epoch
) -> None:
    told: list[object] = []
    feed.follow(told.append)
    before = epoch.read()

    with pytest.raises(LookupError):
        await _failing(database)

    assert await _stored(database) is None
    assert await _announced(database) == []
    assert told == []
    assert epoch.read() == before


async def test_a_transaction_that_changed_nothing_announces_nothing(
    database: Database, epoch: Epoch
) -> None:
    async with database.write() as tx:
        await notes.load(tx, ("acme", "a"))

    assert await _announced(database) == []
    assert epoch.read() == 0


async def test_one_change_said_twice_is_announced_once(database: Database) -> None:
    async with database.write() as tx:
        await notes.put(tx, "a", "one")
        await notes.put(tx, "a", "two")
        await notes.put(tx, "b", "one")

    assert [key for _, key in await _announced(database)] == ["a", "b"]


async def test_a_transaction_may_change_more_than_a_statement_has_room_for(
    database: Database, feed: Feed
) -> None:
    told: list[object] = []
    feed.follow(told.append)

    async with database.write() as tx:
        for number in range(9000):
            tx.changed("note", "acme", str(number))

    assert len(told) == 9000


async def test_the_longest_key_of_a_change_fits(database: Database) -> None:
    key = "p" * 64 + "\x1f" + "c" * 2048 + "\x1f" + "s" * 63

    async with database.write() as tx:
        tx.changed("consent", "acme", key)

    assert [each for _, each in await _announced(database)] == [key]


async def test_a_reader_cannot_write_on_postgresql(database: Database, store: str) -> None:
    if store != "postgresql":
        pytest.skip("SQLite has no transactions that only read")
    async with database.read() as tx:
        smuggled = Write(tx._connection)
        with pytest.raises(DBAPIError, match="read-only transaction"):
            await notes.put(smuggled, "a", "one")

    async with database.write() as writer:  # the same connection, back from the pool
        await notes.put(writer, "a", "two")
    assert await _stored(database) == "two"


async def test_a_reader_does_not_see_what_is_not_committed(database: Database) -> None:
    async with database.write() as tx:
        await notes.put(tx, "a", "one")
        assert await _stored(database) is None

    assert await _stored(database) == "one"


async def test_what_a_writer_has_read_is_still_true_when_it_writes(database: Database) -> None:
    """Fifty writers count up; a lost update would leave less than fifty."""
    async with database.write() as tx:
        await notes.put(tx, "count", "0")

    async def count() -> None:
        async with database.write() as tx:
            found = await notes.load(tx, ("acme", "count"))
            assert found is not None
            await notes.put(tx, "count", str(int(found) + 1))

    async with asyncio.timeout(_PATIENCE_SECONDS):
        await asyncio.gather(*(count() for _ in range(50)))

    assert await _stored(database, "count") == "50"


async def test_two_nodes_do_not_lose_each_others_updates(
    database: Database, url: str, feed: Feed, clock: ManualClock
) -> None:
    """Two engines have no lock in common but the store's own."""
    other = Database(url, feed=feed, clock=clock)
    async with database.write() as tx:
        await notes.put(tx, "count", "0")

    async def count(at: Database) -> None:
        for _ in range(20):
            async with at.write() as tx:
                found = await notes.load(tx, ("acme", "count"))
                assert found is not None
                await notes.put(tx, "count", str(int(found) + 1))

    async with asyncio.timeout(_PATIENCE_SECONDS):
        await asyncio.gather(count(database), count(other))

    await other.close()
    assert await _stored(database, "count") == "40"


async def test_revisions_become_visible_in_their_order(
    database: Database, url: str, feed: Feed, clock: ManualClock
) -> None:
    """A follower that has seen revision n never finds a smaller one later."""
    other = Database(url, feed=feed, clock=clock)
    seen: list[int] = []
    done = asyncio.Event()

    async def write(at: Database, name: str) -> None:
        for number in range(20):
            async with at.write() as tx:
                await notes.put(tx, f"{name}{number}", "x")

    async def follow() -> None:
        last = 0
        while not done.is_set():
            async with database.read() as tx:
                rows = await tx.all(
                    select(changes.c.rev).where(changes.c.rev > last).order_by(changes.c.rev)
                )
            seen.extend(row.rev for row in rows)
            last = seen[-1] if seen else 0

    async with asyncio.timeout(_PATIENCE_SECONDS):
        following = asyncio.ensure_future(follow())
        await asyncio.gather(write(database, "a"), write(other, "b"))
        done.set()
        await following

    await other.close()
    async with database.read() as tx:
        newest = await tx.scalar(select(func.max(changes.c.rev)))
        every = await tx.all(select(changes.c.rev).order_by(changes.c.rev))
    unseen = [row.rev for row in every if row.rev not in seen]
    assert all(rev > (seen[-1] if seen else 0) for rev in unseen)
    assert newest is not None
    assert len(every) == 40


async def test_a_writer_waiting_for_another_node_does_not_wait_for_ever(
    url: str, feed: Feed, clock: ManualClock, store: str
) -> None:
    if store != "postgresql":
        pytest.skip("SQLite's patience is a setting of its driver")
    other = Database(url, feed=feed, clock=clock)
    async with other.read() as tx:
        patience = await tx.scalar(text("SELECT current_setting('lock_timeout')"))  # type: ignore[call-overload]  not a table's column
    await other.close()

    assert patience == "10s"


async def test_a_commit_that_is_cancelled_is_heard_of_all_the_same(
    database: Database, epoch: Epoch
) -> None:
    """Whoever hangs up while something is being revoked must not keep it secret."""

    async def revoke(text: str, committing: asyncio.Event) -> None:
        async with database.write() as tx:
            await notes.put(tx, "a", text)
            committing.set()

    for steps in range(60):  # cancelled at each of its steps, once
        before, committing = epoch.read(), asyncio.Event()
        task = asyncio.ensure_future(revoke(f"revoked {steps}", committing))
        await committing.wait()
        for _ in range(steps * steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=_PATIENCE_SECONDS)
        if await _stored(database) == f"revoked {steps}":
            assert epoch.read() > before


async def test_many_may_open_a_fresh_file_at_once(tmp_path: Path) -> None:
    """To the second of two that switch its journal SQLite says "locked" at once."""
    epoch = Epoch(tmp_path / "epoch")
    for number in range(15):
        url = f"sqlite+aiosqlite:///{tmp_path / f'{number}.db'}"
        opened = [Database(url, feed=Feed(epoch), clock=ManualClock()) for _ in range(8)]

        async def ask(database: Database) -> int:
            async with database.read() as tx:
                return int(await tx.scalar(select(1)))

        assert await asyncio.gather(*map(ask, opened)) == [1] * 8
        for database in opened:
            await database.close()
    epoch.close()
