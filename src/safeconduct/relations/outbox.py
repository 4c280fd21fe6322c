"""Changes of tuples that still have to reach a cluster, in the order in which they happened.

A host whose tuples are kept in a cluster as well has a row in `relation_shipments` that names
it. From then on each change of a tuple leaves a row in `relation_outbox`, in the same
transaction; other hosts pay for nothing but the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    String,
    Table,
    Text,
    delete,
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
    Column("cluster", String(200), nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("arrived", BigInteger, nullable=False),
    Column("token", Text, nullable=True),
)
_outbox = Table(
    "relation_outbox",
    metadata,
    host_column(),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("change", Text, nullable=False),
)
_NONE = ""  # a host that was in a cluster: its numbers go on where they ended


async def append(tx: Write, host: HostId, change: str) -> None:
    """Leave a change for the cluster, if the host has one. Numbers go up and never come again."""
    one_more = update(_shipments).where(_shipments.c.host == host, _shipments.c.cluster != _NONE)
    if await tx.execute(one_more.values(last=_shipments.c.last + 1)):
        numbered = select(_shipments.c.host, _shipments.c.last, literal(change)).where(
            _shipments.c.host == host
        )
        await tx.execute(insert(_outbox).from_select(["host", "number", "change"], numbered))


async def begin(tx: Write, host: HostId, cluster: str, changes: Sequence[str]) -> bool:
    """Take a host into a cluster with all it has, behind whatever waits already.

    Args:
        tx: The transaction.
        host: The host.
        cluster: Names the cluster and the schema; another one means sending everything again.
        changes: Everything the host has, as changes.

    Returns:
        Whether it was not there yet.
    """
    mine = (_shipments.c.host == host,)
    present = await tx.one_or_none(select(_shipments.c.cluster, _shipments.c.last).where(*mine))
    if present is not None and present.cluster == cluster:
        return False
    before = 0 if present is None else int(present.last)
    if present is None:
        row = {"host": host, "cluster": cluster, "last": len(changes), "arrived": 0}
        await tx.execute(insert(_shipments).values(token=None, **row))
    else:
        last = before + len(changes)
        await tx.execute(update(_shipments).where(*mine).values(cluster=cluster, last=last))
    rows = [
        {"host": host, "number": number, "change": change}
        for number, change in enumerate(changes, before + 1)
    ]
    if rows:
        await tx.execute_many(insert(_outbox), rows)
    return True


async def waiting(tx: Read, host: HostId, *, most: int) -> list[tuple[int, str]]:
    """Return the oldest changes that have not been shipped, with their numbers."""
    statement = (
        select(_outbox.c.number, _outbox.c.change)
        .where(_outbox.c.host == host)
        .order_by(_outbox.c.number)
        .limit(most)
    )
    return [(row.number, row.change) for row in await tx.all(statement)]


async def shipped(tx: Write, host: HostId, *, up_to: int, token: str) -> None:
    """Forget what has arrived, and keep the token that proves it, unless there is a later one."""
    await tx.execute(delete(_outbox).where(_outbox.c.host == host, _outbox.c.number <= up_to))
    behind = (_shipments.c.host == host, _shipments.c.arrived < up_to)
    await tx.execute(update(_shipments).where(*behind).values(arrived=up_to, token=token))


async def token(tx: Read, host: HostId) -> str | None:
    """Return the token of the last shipment that arrived."""
    found: Any = await tx.scalar(select(_shipments.c.token).where(_shipments.c.host == host))
    return None if found is None else str(found)


async def last(tx: Read, host: HostId) -> int | None:
    """Return the number of the last change, or None if the host is in no cluster."""
    mine = (_shipments.c.host == host, _shipments.c.cluster != _NONE)
    found: int | None = await tx.scalar(select(_shipments.c.last).where(*mine))
    return found


async def forget(tx: Write) -> None:
    """Take every host out of its cluster, which is asked no more and learns no more."""
    if await tx.execute(
        update(_shipments).where(_shipments.c.cluster != _NONE).values(cluster=_NONE, token=None)
    ):
        await tx.execute(delete(_outbox))
