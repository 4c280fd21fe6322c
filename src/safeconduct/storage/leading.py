"""Which process of an installation does what only one should do, such as reading servers anew.

On SQLite it is the one that holds a lock on a file of the data directory, which the kernel takes
back from a process that dies. On PostgreSQL it is the node that has been there the longest of
those whose heartbeat the database has heard. Two may believe it for a moment while one takes
over, so what they do must bear being done twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from sqlalchemy import literal_column, select

from safeconduct.storage.columns import UtcTime
from safeconduct.storage.database import Database
from safeconduct.storage.nodes import NOW, nodes


class Leading:
    """Says whether this process leads, whenever it is asked."""

    def __init__(self, database: Database, path: Path) -> None:
        """Prepare; nothing is opened yet.

        Args:
            path: The file to lock where the database is this machine's own.
        """
        self._database = database
        self._path = path
        self._held: int | None = None

    async def is_ours(self) -> bool:
        """Return whether the work is this process's now, taking it over if nobody has it."""
        if self._database.shared:
            return await self._has_been_here_longest()
        if self._held is None:
            self._held = _locked(self._path)
        return self._held is not None

    def close(self) -> None:
        """Leave it to another."""
        held, self._held = self._held, None
        if held is not None:
            os.close(held)

    async def _has_been_here_longest(self) -> bool:
        statement = (
            select(nodes.c.id)
            .where(nodes.c.until > literal_column(NOW, UtcTime))
            .order_by(nodes.c.since, nodes.c.id)
            .limit(1)
        )
        async with self._database.read() as tx:
            return bool(await tx.scalar(statement) == self._database.node)


def _locked(path: Path) -> int | None:
    """Return an open file with the lock on it, None if another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    os.close(descriptor)
    return None
