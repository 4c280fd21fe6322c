from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError, InternalError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from safeconduct.core.clock import ManualClock
from safeconduct.core.errors import Code
from safeconduct.storage import Database, Epoch, Feed, StorageError, StoreUnavailable
from safeconduct.storage.changes import changes
from safeconduct.storage.unavailable import unavailable
from tests.fixtures.disks import small_disk

pytestmark = pytest.mark.requirement("Z-37")

_READ_ONLY = sqlite3.SQLITE_READONLY_DBMOVED  # an extended code


class Told(Exception):
    """What a driver raises, as far as it is looked at."""

    def __init__(self, **members: object) -> None:
        super().__init__("postgresql://name:secret@db does not like it")
        self.__dict__.update(members)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OperationalError("", {}, Told(sqlite_errorcode=sqlite3.SQLITE_FULL)), "full"),
        (
            OperationalError("", {}, Told(sqlite_errorcode=sqlite3.SQLITE_READONLY_DBMOVED)),
            "read-only",
        ),
        (OperationalError("", {}, Told(sqlite_errorcode=sqlite3.SQLITE_BUSY)), "silent"),
        (OperationalError("", {}, Told(sqlstate="53100")), "full"),
        (InternalError("", {}, Told(sqlstate="25006")), "read-only"),
        (OperationalError("", {}, Told(sqlstate=None)), "silent"),
        (OperationalError("", {}, Told(sqlite_errorcode=sqlite3.SQLITE_ERROR)), None),
        (PoolTimeout("no connection is free"), "silent"),
        (IntegrityError("", {}, Told(sqlstate="23505")), None),
        (ProgrammingError("", {}, Told(sqlstate="42P01")), None),
    ],
)
def test_what_the_library_raises_is_a_refusal_where_it_is_no_bug(
    error: StorageError, why: str | None
) -> None:
    refusal = unavailable(error)

    if why is None:
        assert refusal is None
        return
    assert refusal is not None
    assert (refusal.why, refusal.code) == (why, Code.UNAVAILABLE)
    assert isinstance(refusal, StorageError)
    assert str(refusal) == refusal.public
    assert "secret" not in str(refusal)


async def write(database: Database) -> None:
    async with database.write() as tx:
        row = {"at": ManualClock().now(), "kind": "k", "host": "h", "key": "x" * 100_000}
        await tx.execute(insert(changes).values(**row))


@pytest.mark.slow
async def test_a_full_and_a_read_only_disk_are_told_apart_and_remembered(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=16) as disk:
        feed = Feed(Epoch(tmp_path / "epoch"))
        url = f"sqlite+aiosqlite:///{disk.path / 'safeconduct.db'}"
        database = Database(url, feed=feed, clock=ManualClock())
        await database.create_tables()
        await write(database)
        assert database.problem() == ""

        disk.fill()
        with pytest.raises(StoreUnavailable) as full:
            await write(database)
        assert full.value.why == "full"
        assert "missing" in database.problem()
        disk.free()
        await write(database)
        assert database.problem() == ""

        await database.close()
        disk.remount("ro")
        with pytest.raises(StoreUnavailable):
            await write(database)
        assert database.problem() == "it can only be read"
        await database.close()


_PATIENCE_SECONDS = 1.0


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncIterator[tuple[Database, sqlite3.Connection]]:
    """A database whose lock another process' connection holds, and that connection."""
    path = tmp_path / "safeconduct.db"
    database = Database(
        f"sqlite+aiosqlite:///{path}",
        feed=Feed(Epoch(tmp_path / "epoch")),
        clock=ManualClock(),
        patience_seconds=_PATIENCE_SECONDS,
    )
    await database.create_tables()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    yield database, other
    other.close()
    await database.close()


async def seconds_to_refusal(database: Database, *, after: float = 0.0) -> float:
    await asyncio.sleep(after)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await write(database)
    return time.monotonic() - began


async def test_writes_that_wait_for_a_locked_file_do_not_wait_for_each_other(
    locked: tuple[Database, sqlite3.Connection],
) -> None:
    database, other = locked

    waited = await asyncio.gather(*(seconds_to_refusal(database) for _ in range(8)))

    assert max(waited) < 2 * _PATIENCE_SECONDS
    assert min(waited) > 0.5 * _PATIENCE_SECONDS
    assert database.problem() == "it does not answer"
    other.execute("ROLLBACK")
    await write(database)
    assert database.problem() == ""


async def test_who_came_while_another_waited_in_vain_is_refused_with_it(
    locked: tuple[Database, sqlite3.Connection],
) -> None:
    database, _ = locked

    _, late = await asyncio.gather(
        seconds_to_refusal(database), seconds_to_refusal(database, after=_PATIENCE_SECONDS / 2)
    )

    assert late < _PATIENCE_SECONDS


async def test_who_waits_gets_its_turn_where_the_lock_is_given_back_in_time(
    locked: tuple[Database, sqlite3.Connection],
) -> None:
    database, other = locked
    waiting = [asyncio.ensure_future(write(database)) for _ in range(4)]
    await asyncio.sleep(_PATIENCE_SECONDS / 4)
    other.execute("ROLLBACK")

    await asyncio.gather(*waiting)

    assert database.problem() == ""


async def test_the_patience_of_a_write_that_waited_for_its_turn_is_what_is_left(
    locked: tuple[Database, sqlite3.Connection],
) -> None:
    database, other = locked

    async with database._writing:
        second = asyncio.ensure_future(seconds_to_refusal(database))
        await asyncio.sleep(0.8 * _PATIENCE_SECONDS)

    assert await second < 1.6 * _PATIENCE_SECONDS
    other.execute("ROLLBACK")
    await write(database)
