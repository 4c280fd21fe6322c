"""Stored edges, object#relation@subject, and the text that spells them.

Every write is announced with the edge itself (`+` or `-` and its text), so that whoever holds
a picture of the edges can keep it without reading the store again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Row, String, Table, delete, insert, select, tuple_, update

from safeconduct.core.edges import read_edge
from safeconduct.core.model import HostId, Value
from safeconduct.relations import outbox
from safeconduct.storage import Read, UtcTime, Write, host_column, metadata

KIND = "tuples"
ADDED, REMOVED = "+", "-"
# Where a tuple comes from, and who may change it: a request, the groups of people, `relations`
# and `access` of the configuration file.
API, DIRECTORY, CONFIGURATION, ACCESS = "api", "directory", "configuration", "access"
_RANKS = {DIRECTORY: 1, CONFIGURATION: 2, ACCESS: 2}

stored = Table(
    "tuples",
    metadata,
    host_column(),
    Column("object", String(512), primary_key=True),
    Column("relation", String(64), primary_key=True),
    Column("subject", String(512), primary_key=True, index=True),
    Column("source", String(16), nullable=False),
    Column("written_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=True, index=True),
)
_KEY = (stored.c.object, stored.c.relation, stored.c.subject)
_COLUMNS = (*_KEY, stored.c.expires_at)


class Tuple(Value, frozen=True):
    """One edge: `object#relation@subject`, for ever or until a moment.

    Attributes:
        object: `type:id`.
        relation: A relation of that type.
        subject: `type:id`, `type:id#relation` (everybody who has it) or `type:*` (all of them).
        expires_at: From then on it is no edge any more.
    """

    object: str
    relation: str
    subject: str
    expires_at: datetime | None = None

    @classmethod
    def parse(cls, text: str) -> Tuple:
        """Read the text form; an expiration is in RFC 3339 and brackets behind it.

        Raises:
            ValueError: If the text is not `type:id#relation@type:id[#relation]`.
        """
        edge = read_edge(text)
        return cls(
            object=edge.object,
            relation=edge.relation,
            subject=edge.subject,
            expires_at=edge.expires_at,
        )

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it this edge and no other: all but how long it lasts."""
        return self.object, self.relation, self.subject

    def __str__(self) -> str:
        text = f"{self.object}#{self.relation}@{self.subject}"
        if self.expires_at is None:
            return text
        spelled = self.expires_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return f"{text}[expiration:{spelled}]"


async def write(tx: Write, host: HostId, edge: Tuple, *, source: str, at: datetime) -> None:
    """Store an edge; storing it again changes nothing but how long it lasts, and whose it is.

    What groups say outlasts what a request said, and what the file says outlasts both: an edge
    belongs to the strongest source that wants it, and goes with it.

    Raises:
        ValueError: If it cannot be spelled: those who follow changes would read another one.
    """
    if Tuple.parse(str(edge)) != edge:
        raise ValueError(f"{edge} is not object#relation@subject")
    mine = _is(host, edge)
    present = await tx.one_or_none(select(stored.c.expires_at, stored.c.source).where(*mine))
    if present is None:
        await tx.execute(insert(stored).values(**_row(host, edge), source=source, written_at=at))
    else:
        if _RANKS.get(source, 0) > _RANKS.get(present.source, 0):
            await tx.execute(update(stored).where(*mine).values(source=source))
        if present.expires_at == edge.expires_at:
            return
        await tx.execute(update(stored).where(*mine).values(expires_at=edge.expires_at))
    await _announce(tx, host, f"{ADDED}{edge}")


async def remove(tx: Write, host: HostId, edge: Tuple) -> None:
    """Take an edge away, however long it was to last."""
    if await tx.execute(delete(stored).where(*_is(host, edge))):
        await _announce(tx, host, f"{REMOVED}{edge.object}#{edge.relation}@{edge.subject}")


async def every(tx: Read, host: HostId, *, source: str | None = None) -> list[Tuple]:
    """Return the edges of a host, or only those written by one source."""
    statement = select(*_COLUMNS).where(stored.c.host == host)
    if source is not None:
        statement = statement.where(stored.c.source == source)
    return [_tuple(row) for row in await tx.all(statement)]


async def chunk(
    tx: Read, host: HostId, *, after: tuple[str, str, str], size: int
) -> Sequence[tuple[str, str, str, datetime | None]]:
    """Return the next rows (object, relation, subject, expires_at) in the order of their keys."""
    statement = (
        select(*_COLUMNS)
        .where(stored.c.host == host, tuple_(*_KEY) > tuple_(*after))
        .order_by(*_KEY)
        .limit(size)
    )
    return [tuple(row) for row in await tx.all(statement)]


async def relations_of(tx: Read, host: HostId, kind: str) -> list[str]:
    """Return the relations that tuples of a type have."""
    statement = (
        select(stored.c.relation)
        .where(stored.c.host == host, stored.c.object.startswith(f"{kind}:", autoescape=True))
        .distinct()
        .order_by(stored.c.relation)
    )
    return [str(row.relation) for row in await tx.all(statement)]


async def expired(tx: Read, *, at: datetime, most: int) -> list[tuple[HostId, Tuple]]:
    """Return edges of any host that are edges no more, for whoever tidies up."""
    statement = select(stored.c.host, *_COLUMNS).where(stored.c.expires_at <= at).limit(most)
    return [(HostId(row.host), _tuple(row)) for row in await tx.all(statement)]


def delta(text: str) -> tuple[str, Tuple]:
    """Read what was announced: ADDED or REMOVED, and the edge.

    Raises:
        ValueError: If it is nothing that was announced here.
    """
    if text[:1] not in {ADDED, REMOVED}:
        raise ValueError(f"{text!r} is no change of a tuple")
    return text[0], Tuple.parse(text[1:])


async def _announce(tx: Write, host: HostId, change: str) -> None:
    tx.changed(KIND, host, change)
    await outbox.append(tx, host, change)


def _tuple(row: Row[Any]) -> Tuple:
    return Tuple(
        object=row.object, relation=row.relation, subject=row.subject, expires_at=row.expires_at
    )


def _row(host: HostId, edge: Tuple) -> dict[str, Any]:
    return {
        "host": host,
        "object": edge.object,
        "relation": edge.relation,
        "subject": edge.subject,
        "expires_at": edge.expires_at,
    }


def _is(host: HostId, edge: Tuple) -> tuple[Any, ...]:
    return (
        stored.c.host == host,
        stored.c.object == edge.object,
        stored.c.relation == edge.relation,
        stored.c.subject == edge.subject,
    )
