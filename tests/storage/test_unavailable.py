from __future__ import annotations

import sqlite3
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
