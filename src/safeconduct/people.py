"""The people of a host and its operators: who they are, never what they may do.

A person can be known before the first sign-in (pre-authorised by an admin); a password is
bound to an address only by its admin or by a link mailed to that address.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    String,
    Table,
    UniqueConstraint,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Row

from safeconduct.core.emails import normal_email
from safeconduct.core.model import HostId, SubjectId, Value
from safeconduct.core.secrets import new_id
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

_people = Table(
    "people",
    metadata,
    host_column(),
    Column("id", String(64), primary_key=True),
    Column("email", String(320), nullable=False),
    Column("name", String(200), nullable=False),
    Column("password_hash", String(300)),
    Column("groups", JSON, nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("configured", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("host", "email"),
)

_operators = Table(
    "operators",
    metadata,
    host_column(),
    Column("email", String(320), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("password_hash", String(300)),
)


_MOST_ADDRESSES = 50_000


class Person(Value, frozen=True):
    """A human user of a host. `configured` people belong to the configuration file."""

    host: HostId
    id: SubjectId
    email: str
    name: str
    groups: tuple[str, ...] = ()
    attributes: dict[str, Any] = {}
    active: bool = True
    configured: bool = False


class Operator(Value, frozen=True):
    """Somebody who administers a host."""

    host: HostId
    email: str
    role: str


class People:
    """People by id, kept in memory while nothing about them changes."""

    def __init__(self, database: Database, feed: Feed) -> None:
        self._database = database
        self._view: View[tuple[str, str], Person] = View(
            database, feed, kind="person", load=_load, keys=_key
        )
        self._ids: OrderedDict[tuple[HostId, str], SubjectId] = OrderedDict()

    def held(self, host: HostId, subject: SubjectId) -> Person | None:
        return self._view.held((host, subject))

    async def get(self, host: HostId, subject: SubjectId) -> Person | None:
        return await self._view.get((host, subject))

    async def at(self, host: HostId, email: str) -> Person | None:
        """Return the person of an address; ids are remembered and never believed unseen."""
        address = normal_email(email)
        known = self._ids.get((host, address))
        person = None if known is None else await self.get(host, known)
        if person is not None and person.email == address:
            return person
        async with self._database.read() as tx:
            found = await by_email(tx, host, address)
        if found is None:
            return None
        self._ids[host, address] = found[0].id
        if len(self._ids) > _MOST_ADDRESSES:
            self._ids.popitem(last=False)
        return await self.get(host, found[0].id)


async def by_email(tx: Read, host: HostId, email: str) -> tuple[Person, str | None] | None:
    """Return the person of an address and the stored password hash, or None."""
    row = await tx.one_or_none(
        select(_people).where(_people.c.host == host, _people.c.email == normal_email(email))
    )
    return None if row is None else (_person(row), row.password_hash)


async def by_id(tx: Read, host: HostId, subject: SubjectId) -> Person | None:
    return await _load(tx, (host, subject))


async def every(tx: Read, host: HostId) -> list[Person]:
    statement = select(_people).where(_people.c.host == host).order_by(_people.c.email)
    return [_person(row) for row in await tx.all(statement)]


async def create(
    tx: Write,
    host: HostId,
    *,
    email: str,
    name: str,
    at: datetime,
    password_hash: str | None = None,
    groups: tuple[str, ...] = (),
    attributes: dict[str, Any] | None = None,
    configured: bool = False,
) -> Person:
    """Add a person; the caller has made sure that the address is new to the host."""
    person = Person(
        host=host,
        id=SubjectId(new_id("p")),
        email=normal_email(email),
        name=name,
        groups=groups,
        attributes=attributes or {},
        configured=configured,
    )
    await tx.execute(
        insert(_people).values(
            host=host,
            id=person.id,
            email=person.email,
            name=name,
            password_hash=password_hash,
            groups=list(groups),
            attributes=person.attributes,
            active=True,
            configured=configured,
            created_at=at,
        )
    )
    tx.changed("person", host, person.id)
    return person


async def describe(
    tx: Write,
    host: HostId,
    subject: SubjectId,
    *,
    name: str,
    groups: tuple[str, ...],
    attributes: dict[str, Any],
    configured: bool,
) -> None:
    """Replace what is known about a person."""
    await _update(
        tx,
        host,
        subject,
        name=name,
        groups=list(groups),
        attributes=attributes,
        configured=configured,
        active=True,
    )


async def set_password(tx: Write, host: HostId, subject: SubjectId, password_hash: str) -> None:
    await _update(tx, host, subject, password_hash=password_hash)


async def set_active(tx: Write, host: HostId, subject: SubjectId, *, active: bool) -> None:
    """Suspend a person or let them back; suspended, nothing of theirs is allowed."""
    await _update(tx, host, subject, active=active)


async def operators(tx: Read, host: HostId) -> list[Operator]:
    statement = select(_operators).where(_operators.c.host == host).order_by(_operators.c.email)
    return [
        Operator(host=HostId(row.host), email=row.email, role=row.role)
        for row in await tx.all(statement)
    ]


async def save_operator(tx: Write, operator: Operator, password_hash: str | None) -> None:
    """Create or replace an operator; without a hash, an existing one stays."""
    row: dict[str, Any] = {"role": operator.role}
    if password_hash is not None:
        row["password_hash"] = password_hash
    email = normal_email(operator.email)
    mine = (_operators.c.host == operator.host, _operators.c.email == email)
    if not await tx.execute(update(_operators).where(*mine).values(**row)):
        await tx.execute(insert(_operators).values(host=operator.host, email=email, **row))


async def operator_password(tx: Read, host: HostId, email: str) -> str | None:
    statement = select(_operators.c.password_hash).where(
        _operators.c.host == host, _operators.c.email == normal_email(email)
    )
    row = await tx.one_or_none(statement)
    return None if row is None else row.password_hash


async def remove_operator(tx: Write, host: HostId, email: str) -> None:
    await tx.execute(
        delete(_operators).where(
            _operators.c.host == host, _operators.c.email == normal_email(email)
        )
    )


async def _update(tx: Write, host: HostId, subject: SubjectId, **values: object) -> None:
    await tx.execute(
        update(_people).where(_people.c.host == host, _people.c.id == subject).values(**values)
    )
    tx.changed("person", host, subject)


async def _load(tx: Read, key: tuple[str, str]) -> Person | None:
    row = await tx.one_or_none(
        select(_people).where(_people.c.host == key[0], _people.c.id == key[1])
    )
    return None if row is None else _person(row)


def _key(change: Change) -> tuple[str, str]:
    return change.host, change.key


def _person(row: Row[Any]) -> Person:
    return Person(
        host=HostId(row.host),
        id=SubjectId(row.id),
        email=row.email,
        name=row.name,
        groups=tuple(row.groups),
        attributes=row.attributes,
        active=row.active,
        configured=row.configured,
    )
