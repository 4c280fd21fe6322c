"""The change feed: every write says what it changed, every process catches up before it acts.

A writer appends rows to `changes` in its own transaction and raises the epoch after the
commit. The epoch stands in a small memory-mapped file that all workers of a machine share, so
that asking "has anything changed?" costs a comparison of eight bytes. Other machines hear of
it through PostgreSQL; see `membership`.
"""

from __future__ import annotations

import asyncio
import fcntl
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import BigInteger, Column, Integer, String, Table, Text, func, select

from safeconduct.storage.columns import UtcTime, metadata

if TYPE_CHECKING:
    from safeconduct.storage.database import Database

_BYTES = 8
_BATCH = 1000

changes = Table(
    "changes",
    metadata,
    Column(
        "rev",
        BigInteger().with_variant(Integer(), "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    Column("at", UtcTime, nullable=False, index=True),
    Column("kind", String(32), nullable=False),
    Column("host", String(63), nullable=False),
    Column("key", Text, nullable=False),
    sqlite_autoincrement=True,
)


class Change(msgspec.Struct, frozen=True):
    """One thing that is no longer as it was: `kind` names the table's noun."""

    kind: str
    host: str
    key: str


class Epoch:
    """A counter in a file that every worker of a node has mapped."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._fd).st_size < _BYTES:
            os.ftruncate(self._fd, _BYTES)
        self._map = mmap.mmap(self._fd, _BYTES)
        # As one number: only this machine's processes ever see the file.
        self._counter = memoryview(self._map).cast("Q")

    def read(self) -> int:
        return self._counter[0]

    def raise_to(self, revision: int) -> None:
        """Set the counter unless it already stands higher."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            if revision > self.read():
                self._counter[0] = revision
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def lower_to(self, revision: int) -> None:
        """Set the counter back; for start-up only.

        A counter ahead of its database (restored from a copy, say) would send every call
        to the database for ever.
        """
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            if revision < self.read():
                self._counter[0] = revision
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        self._counter.release()
        self._map.close()
        os.close(self._fd)


class Feed:
    """Follows the changes of one database and tells the views of this process."""

    def __init__(self, epoch: Epoch) -> None:
        self._epoch = epoch
        self._seen = 0
        self._followers: list[Callable[[Change], None]] = []
        self._catching_up = asyncio.Lock()

    def follow(self, follower: Callable[[Change], None]) -> None:
        """Call `follower` for every later change; it must not wait or raise."""
        self._followers.append(follower)

    @property
    def seen(self) -> int:
        """The revision up to which every view of this process takes account of changes."""
        return self._seen

    def behind(self) -> bool:
        """Say whether somebody has committed something this process has not seen."""
        return self._epoch.read() > self._seen

    async def start(self, database: Database) -> None:
        """Take the present as the beginning; nothing is in any view yet."""
        before = self._epoch.read()
        self._seen = await _latest(database)
        if before > self._seen:
            self._epoch.lower_to(self._seen)
        # Another worker may have committed meanwhile and found the counter still high, or had
        # its own raise undone: what is in the database by now counts.
        self._epoch.raise_to(await _latest(database))

    async def catch_up(self, database: Database) -> None:
        """Apply every committed change; returns when this process knows all of them."""
        async with self._catching_up:
            while await self._apply_batch(database) == _BATCH:
                pass

    def committed(self, revision: int) -> None:
        """Let every worker know that `revision` is in the database."""
        self._epoch.raise_to(revision)

    async def _apply_batch(self, database: Database) -> int:
        statement = (
            select(changes.c.rev, changes.c.kind, changes.c.host, changes.c.key)
            .where(changes.c.rev > self._seen)
            .order_by(changes.c.rev)
            .limit(_BATCH)
        )
        async with database.read() as tx:
            rows = await tx.all(statement)
        for row in rows:
            change = Change(row.kind, row.host, row.key)
            for follower in self._followers:
                follower(change)
            self._seen = row.rev
        return len(rows)


async def _latest(database: Database) -> int:
    async with database.read() as tx:
        return int(await tx.scalar(select(func.coalesce(func.max(changes.c.rev), 0))))
