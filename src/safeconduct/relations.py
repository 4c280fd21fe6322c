"""Stored edges, object#relation@subject, and the one question asked of them so far: ceilings.

A ceiling is a tuple `server:tickets#medium@person:p_1` or `...@group:engineering#member`.
Levels include the ones below them, so the highest tuple that applies is the ceiling and
all nine cells of min(granted, ceiling) hold without writing cumulative tuples.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Column, String, Table, delete, insert, select

from safeconduct.core.model import HostId, Level, ServerKey, SubjectId, Value
from safeconduct.storage import (
    Change,
    Database,
    Feed,
    Read,
    UtcTime,
    View,
    Write,
    host_column,
    metadata,
)

_tuples = Table(
    "tuples",
    metadata,
    host_column(),
    Column("object", String(512), primary_key=True),
    Column("relation", String(64), primary_key=True),
    Column("subject", String(512), primary_key=True, index=True),
    Column("source", String(16), nullable=False),
    Column("written_at", UtcTime, nullable=False),
)

_TEXT = re.compile(
    r"(?P<object>[a-z][a-z0-9_/]{0,62}:[^#@\s]{1,256})"
    r"#(?P<relation>[a-z][a-z0-9_]{0,62})"
    r"@(?P<subject>[a-z][a-z0-9_/]{0,62}:[^#@\s]{1,256}@?[^#@\s]{0,127}(#[a-z][a-z0-9_]{0,62})?)"
)
_LEVELS = {level.word: level for level in Level}


class Tuple(Value, frozen=True):
    """One edge: `object#relation@subject`."""

    object: str
    relation: str
    subject: str

    @classmethod
    def parse(cls, text: str) -> Tuple:
        """Read the text form.

        Raises:
            ValueError: If the text is not `type:id#relation@type:id[#relation]`.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not object#relation@subject")
        return cls(**{name: match[name] for name in ("object", "relation", "subject")})

    def __str__(self) -> str:
        return f"{self.object}#{self.relation}@{self.subject}"


def person(subject: SubjectId) -> str:
    """Spell a person as the subject of a tuple."""
    return f"person:{subject}"


def members(group: str) -> str:
    """Spell everybody in a group as the subject of a tuple."""
    return f"group:{group}#member"


def ceiling_tuple(server: ServerKey, level: Level, subject: str) -> Tuple:
    return Tuple(object=f"server:{server}", relation=level.word, subject=subject)


class Ceilings:
    """The highest level an admin lets somebody grant, by subject, kept in memory."""

    def __init__(self, database: Database, feed: Feed) -> None:
        self._view: View[tuple[str, str], dict[str, Level]] = View(
            database, feed, kind="tuples", load=_load, keys=_key
        )

    async def of(
        self, host: HostId, subject: SubjectId, groups: Iterable[str]
    ) -> dict[ServerKey, Level]:
        """Return the ceiling on every server the person may use at all."""
        highest: dict[ServerKey, Level] = {}
        for spelled in (person(subject), *map(members, groups)):
            for server, level in (await self._levels(host, spelled)).items():
                key = ServerKey(server)
                highest[key] = max(level, highest.get(key, level))
        return highest

    async def on(
        self, host: HostId, subject: SubjectId, groups: Iterable[str], server: ServerKey
    ) -> Level | None:
        """Return the ceiling on one server, or None: no tuple, no access."""
        highest: Level | None = None
        for spelled in (person(subject), *map(members, groups)):
            key = (host, spelled)
            levels = self._view.held(key) or await self._levels(*key)
            level = levels.get(server)
            if level is not None and (highest is None or level > highest):
                highest = level
        return highest

    async def _levels(self, host: HostId, subject: str) -> dict[str, Level]:
        return await self._view.get((host, subject)) or {}


async def write(tx: Write, host: HostId, edge: Tuple, *, source: str, at: datetime) -> None:
    """Store an edge; storing it again changes nothing."""
    present = await tx.one_or_none(select(_tuples.c.source).where(*_is(host, edge)))
    if present is None:
        await tx.execute(
            insert(_tuples).values(
                host=host,
                object=edge.object,
                relation=edge.relation,
                subject=edge.subject,
                source=source,
                written_at=at,
            )
        )
        tx.changed("tuples", host, edge.subject)


async def remove(tx: Write, host: HostId, edge: Tuple) -> None:
    if await tx.execute(delete(_tuples).where(*_is(host, edge))):
        tx.changed("tuples", host, edge.subject)


async def every(tx: Read, host: HostId, *, source: str | None = None) -> list[Tuple]:
    """Return the edges of a host, or only those written by one source."""
    statement = select(_tuples).where(_tuples.c.host == host)
    if source is not None:
        statement = statement.where(_tuples.c.source == source)
    return [
        Tuple(object=row.object, relation=row.relation, subject=row.subject)
        for row in await tx.all(statement)
    ]


def _is(host: HostId, edge: Tuple) -> tuple[Any, ...]:
    return (
        _tuples.c.host == host,
        _tuples.c.object == edge.object,
        _tuples.c.relation == edge.relation,
        _tuples.c.subject == edge.subject,
    )


async def _load(tx: Read, key: tuple[str, str]) -> dict[str, Level]:
    statement = select(_tuples.c.object, _tuples.c.relation).where(
        _tuples.c.host == key[0],
        _tuples.c.subject == key[1],
        _tuples.c.object.startswith("server:", autoescape=True),
        _tuples.c.relation.in_(_LEVELS),
    )
    highest: dict[str, Level] = {}
    for row in await tx.all(statement):
        server = row.object.removeprefix("server:")
        level = _LEVELS[row.relation]
        highest[server] = max(level, highest.get(server, level))
    return highest


def _key(change: Change) -> tuple[str, str]:
    return change.host, change.key
