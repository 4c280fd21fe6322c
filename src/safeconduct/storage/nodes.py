"""The processes that serve one PostgreSQL database, and who of them does not know something yet.

A row says until when a process may decide by what it knows, by the database's clock, and which
revision it has applied. Whoever changed something waits until each node with a live lease has
applied it: then nobody decides without it. The rows are the installation's, not a tenant's.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, String, Table, literal_column, select
from sqlalchemy.exc import SQLAlchemyError

from safeconduct.storage.columns import UtcTime, metadata
from safeconduct.storage.lease import LEASE_SECONDS

if TYPE_CHECKING:
    from safeconduct.storage.database import Database

CHANNEL = "safeconduct_changes"
QUESTIONS = "safeconduct_questions"
NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_ASK_AGAIN_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.008)
_ASK_AT_LAST_SECONDS = 0.015

nodes = Table(
    "nodes",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("since", UtcTime, nullable=False),
    Column("until", UtcTime, nullable=False),
    Column("applied", BigInteger, nullable=False),
)


async def everyone_knows(database: Database, revision: int) -> None:
    """Return when no other node can decide without a revision that was just committed.

    That is when each has applied it or its lease has run out. It takes one lease at most,
    whatever fails meanwhile: a heartbeat sent after the commit renews a lease only once the
    revision is applied, so one lease after it there is nobody left to wait for.
    """
    asking = asyncio.ensure_future(_ask(database, revision))
    try:
        done, _ = await asyncio.wait({asking}, timeout=LEASE_SECONDS)
        for asked in done:
            asked.result()
    finally:
        asking.cancel()


async def _ask(database: Database, revision: int) -> None:
    """Ask again and again; an acknowledgement is a plain update and wakes nobody."""
    pauses = iter(_ASK_AGAIN_SECONDS)
    lagging = (
        select(nodes.c.id)
        .where(
            nodes.c.id != database.node,
            nodes.c.applied < revision,
            nodes.c.until > literal_column(NOW, UtcTime),
        )
        .limit(1)
    )
    while True:
        with contextlib.suppress(OSError, SQLAlchemyError):  # who cannot be asked is waited out
            async with database.read() as tx:
                if await tx.one_or_none(lagging) is None:
                    return
        await asyncio.sleep(next(pauses, _ASK_AT_LAST_SECONDS))
