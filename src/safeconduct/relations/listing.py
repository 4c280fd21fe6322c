"""Stored edges as somebody wants to see them: some of a host's, in the order of their keys."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, or_, select, tuple_

from safeconduct.core.model import HostId, Value
from safeconduct.relations.tuples import Tuple, stored
from safeconduct.storage import Read

Key = tuple[str, str, str]
_KEY = (stored.c.object, stored.c.relation, stored.c.subject)
_COLUMNS = (*_KEY, stored.c.expires_at, stored.c.source, stored.c.written_at)


class Stored(Value, frozen=True):
    """An edge, where it comes from, and since when it is there."""

    edge: Tuple
    source: str
    written_at: datetime


class Filter(Value, frozen=True):
    """Which edges are meant; what is left out may be anything.

    Attributes:
        object: `type:id`, or `type` for all of a type.
        subject: Likewise; `type` stands for usersets and wildcards of the type, too.
    """

    object: str | None = None
    relation: str | None = None
    subject: str | None = None
    source: str | None = None


async def some(
    tx: Read,
    host: HostId,
    which: Filter,
    *,
    at: datetime,
    most: int,
    after: Key | None = None,
) -> list[Stored]:
    """Return edges that have not expired.

    Args:
        tx: The transaction.
        host: The tenant.
        which: Which ones.
        at: Now.
        most: How many at most.
        after: Begin behind this key.
    """
    wanted: list[ColumnElement[bool]] = [stored.c.host == host, *_named(which)]
    wanted.append(or_(stored.c.expires_at.is_(None), stored.c.expires_at > at))
    if after is not None:
        wanted.append(tuple_(*_KEY) > tuple_(*after))
    statement = select(*_COLUMNS).where(*wanted).order_by(*_KEY).limit(most)
    return [_stored(row) for row in await tx.all(statement)]


async def these(tx: Read, host: HostId, edges: Iterable[Tuple]) -> dict[Key, Stored]:
    """Return those of some edges that are stored, expired or not, however long they last."""
    keys = [edge.key for edge in edges]
    statement = select(*_COLUMNS).where(stored.c.host == host, tuple_(*_KEY).in_(keys))
    return {found.edge.key: found for found in map(_stored, await tx.all(statement))}


def _named(which: Filter) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    for column, said in ((stored.c.object, which.object), (stored.c.subject, which.subject)):
        if said is not None:
            of_type = column.startswith(f"{said}:", autoescape=True)
            wanted.append(column == said if ":" in said else of_type)
    if which.relation is not None:
        wanted.append(stored.c.relation == which.relation)
    if which.source is not None:
        wanted.append(stored.c.source == which.source)
    return wanted


def _stored(row: Row[Any]) -> Stored:
    return Stored(
        edge=Tuple(
            object=row.object,
            relation=row.relation,
            subject=row.subject,
            expires_at=row.expires_at,
        ),
        source=row.source,
        written_at=row.written_at,
    )
