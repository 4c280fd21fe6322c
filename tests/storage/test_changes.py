"""The feed: who is told of a change, and when."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from sqlalchemy import delete, insert

from safeconduct.core.clock import ManualClock
from safeconduct.storage import Change, Database, Epoch, Feed
from safeconduct.storage.changes import changes
from tests.storage import notes

_PATIENCE_SECONDS = 30
pytestmark = pytest.mark.requirement("Z-23")


@pytest.fixture(autouse=True)
async def _notes(database: Database) -> None:
    await notes.create(database)


async def _neighbour(url: str, epoch: Path, key: str, text: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.storage.neighbour", url, str(epoch), key, text)
    )
    async with asyncio.timeout(_PATIENCE_SECONDS):
        assert await process.wait() == 0


async def _announced_and_rolled_back(database: Database) -> None:
    async with database.write() as tx:
        await notes.put(tx, "a", "one")
        await database._announce(tx)
        raise LookupError


async def test_a_follower_is_told_before_the_writer_goes_on(database: Database, feed: Feed) -> None:
    told: list[Change] = []
    feed.follow(told.append)

    async with database.write() as tx:
        await notes.put(tx, "a", "one")
        assert told == []

    assert told == [Change("note", "acme", "a")]
    assert not feed.behind()


async def test_another_process_makes_us_catch_up_at_the_next_look(
    database: Database, feed: Feed, url: str, tmp_path: Path
) -> None:
    view = notes.view(database, feed)
    async with database.write() as tx:
        await notes.put(tx, "a", "one")
    assert await view.get(("acme", "a")) == "one"
    assert not feed.behind()

    await _neighbour(url, tmp_path / "epoch", "a", "two")

    assert feed.behind()
    await database.catch_up()
    assert not feed.behind()
    assert await view.get(("acme", "a")) == "two"


async def test_another_process_that_changes_nothing_does_not_make_us_look(
    database: Database, feed: Feed, tmp_path: Path
) -> None:
    async with database.write() as tx:
        await notes.put(tx, "a", "one")
    other = Feed(Epoch(tmp_path / "epoch"))

    await other.start(database)

    assert not feed.behind()
    assert not other.behind()


async def test_a_worker_that_starts_does_not_hide_a_change_from_the_others(
    database: Database, feed: Feed, tmp_path: Path
) -> None:
    """The counter of a newcomer's first look is not put over what was committed since."""
    async with database.write() as tx:
        await notes.put(tx, "a", "one")
    async with database.engine.begin() as connection:  # committed elsewhere, raised by nobody yet
        row = {"at": ManualClock().now(), "kind": "note", "host": "acme", "key": "a"}
        await connection.execute(insert(changes).values(**row))

    newcomer = Feed(Epoch(tmp_path / "epoch"))
    await newcomer.start(database)

    assert feed.behind()
    await database.catch_up()
    assert not feed.behind()


async def test_a_counter_ahead_of_its_database_is_set_back_at_start(
    database: Database, epoch: Epoch
) -> None:
    epoch.raise_to(10_000)
    feed = Feed(epoch)
    assert feed.behind()

    await feed.start(database)

    assert epoch.read() == 0
    assert not feed.behind()


async def test_the_counter_never_falls_while_running(epoch: Epoch) -> None:
    epoch.raise_to(7)
    epoch.raise_to(3)

    assert epoch.read() == 7


async def test_the_counter_outlives_its_process(tmp_path: Path) -> None:
    first = Epoch(tmp_path / "kept")
    first.raise_to(2**40)
    first.close()
    second = Epoch(tmp_path / "kept")

    assert second.read() == 2**40
    second.close()


async def test_only_the_owner_can_open_the_counter(tmp_path: Path) -> None:
    epoch = Epoch(tmp_path / "directory" / "epoch")

    assert (tmp_path / "directory" / "epoch").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "directory").stat().st_mode & 0o777 == 0o700
    epoch.close()


async def test_gaps_in_the_numbering_lose_nothing(database: Database, feed: Feed) -> None:
    """A rolled back transaction, or one cleaned away, leaves a hole."""
    told: list[Change] = []
    feed.follow(told.append)
    with pytest.raises(LookupError):
        await _announced_and_rolled_back(database)
    async with database.write() as tx:
        await notes.put(tx, "b", "one")
    async with database.engine.begin() as connection:
        await connection.execute(delete(changes))
    async with database.write() as tx:
        await notes.put(tx, "c", "one")

    assert [change.key for change in told] == ["b", "c"]
    assert not feed.behind()


async def test_more_changes_than_one_batch_are_all_applied(
    database: Database, feed: Feed, url: str, clock: ManualClock, tmp_path: Path
) -> None:
    told: list[Change] = []
    feed.follow(told.append)
    elsewhere = Feed(Epoch(tmp_path / "epoch"))
    other = Database(url, feed=elsewhere, clock=clock)
    await elsewhere.start(other)
    async with other.write() as tx:
        for number in range(2500):
            tx.changed("note", "acme", str(number))
    await other.close()

    await database.catch_up()

    assert [change.key for change in told] == [str(number) for number in range(2500)]
