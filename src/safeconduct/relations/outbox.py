"""Changes of tuples that still have to reach a cluster, in the order in which they happened.

A host whose tuples are kept in a cluster as well has a row in `relation_shipments`. From then
on each change of a tuple leaves a row in `relation_outbox`, in the same transaction; other
hosts pay for nothing but the question.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from safeconduct.core.model import HostId
from safeconduct.storage import Read, Write, host_column, metadata

_shipments = Table(
    "relation_shipments",
    metadata,
    host_column(),
    Column("cluster", String(200), primary_key=True),
    Column("token", Text, nullable=True),
)
_outbox = Table(
    "relation_outbox",
    metadata,
    Column(
        "rev",
        BigInteger().with_variant(Integer(), "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    Column("host", String(63), nullable=False, index=True),
    Column("change", Text, nullable=False),
    sqlite_autoincrement=True,
)


async def append(tx: Write, host: HostId, change: str) -> None:
    """Leave a change for the cluster, if the host has one."""
    wanted = select(literal(host), literal(change)).where(
        select(_shipments.c.host).where(_shipments.c.host == host).exists()
    )
    await tx.execute(insert(_outbox).from_select(["host", "change"], wanted))


async def begin(tx: Write, host: HostId, cluster: str, changes: Iterable[str]) -> bool:
    """Take a host into the cluster with all it has; returns whether it was not there yet."""
    mine = (_shipments.c.host == host, _shipments.c.cluster == cluster)
    if await tx.one_or_none(select(_shipments.c.host).where(*mine)) is not None:
        return False
    await tx.execute(delete(_shipments).where(_shipments.c.host == host))
    await tx.execute(delete(_outbox).where(_outbox.c.host == host))
    await tx.execute(insert(_shipments).values(host=host, cluster=cluster, token=None))
    rows = [{"host": host, "change": change} for change in changes]
    if rows:
        await tx.execute_many(insert(_outbox), rows)
    return True


async def waiting(tx: Read, host: HostId, *, most: int) -> list[tuple[int, str]]:
    """Return the oldest changes that have not been shipped, with their numbers."""
    statement = (
        select(_outbox.c.rev, _outbox.c.change)
        .where(_outbox.c.host == host)
        .order_by(_outbox.c.rev)
        .limit(most)
    )
    return [(row.rev, row.change) for row in await tx.all(statement)]


async def shipped(tx: Write, host: HostId, *, up_to: int, token: str) -> None:
    """Forget what has arrived, and keep the token that proves it."""
    await tx.execute(delete(_outbox).where(_outbox.c.host == host, _outbox.c.rev <= up_to))
    await tx.execute(update(_shipments).where(_shipments.c.host == host).values(token=token))


async def token(tx: Read, host: HostId) -> str | None:
    """Return the token of the last shipment that arrived."""
    found: Any = await tx.scalar(select(_shipments.c.token).where(_shipments.c.host == host))
    return None if found is None else str(found)


async def length(tx: Read, host: HostId) -> int:
    """Return how many changes wait."""
    statement = select(func.count()).select_from(_outbox).where(_outbox.c.host == host)
    return int(await tx.scalar(statement))
