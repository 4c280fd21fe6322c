"""Consent: what a person lets one agent do on one server, how much, and until when.

The unit is (host, person, client, server): one client id shared by thousands of people is
thousands of consents, and none of them is anything to another person. A new consent
replaces the old one; an ended consent stays as a row that grants nothing.
"""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from math import inf
from typing import Any

from sqlalchemy import Column, Integer, String, Table, UniqueConstraint, insert, select, update
from sqlalchemy.engine import Row

from safeconduct.core.model import ClientId, ConsentId, HostId, Level, ServerKey, SubjectId, Value
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

_consents = Table(
    "consents",
    metadata,
    host_column(),
    Column("subject", String(64), primary_key=True),
    Column("client", String(2048), primary_key=True),
    Column("server", String(63), primary_key=True),
    Column("id", String(64), nullable=False),
    Column("level", Integer, nullable=False),
    Column("granted_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("ended_at", UtcTime),
    Column("ended_because", String(200)),
    Column("redirect_uri", String(2048), nullable=False),
    Column("client_digest", String(64), nullable=False),
    UniqueConstraint("host", "id"),
)
EXPIRED = "consent.expired"
_SEPARATOR = "\x1f"  # no client id, person or server key can hold a control character


class Consent(Value, frozen=True, dict=True):
    """One person's yes.

    Attributes:
        expires_at: When it ends by itself, or None: until revoked.
        ended_at: When somebody ended it, or None.
        ended_because: Why, as machine text; `EXPIRED` without `ended_at` says that it ran out and
            that this is on record.
        client_digest: What the client said about itself when the person was asked; a
            client that changes asks again.
    """

    host: HostId
    subject: SubjectId
    client: ClientId
    server: ServerKey
    id: ConsentId
    level: Level
    granted_at: datetime
    expires_at: datetime | None
    redirect_uri: str
    client_digest: str
    ended_at: datetime | None = None
    ended_because: str | None = None

    @cached_property
    def ends(self) -> float:
        """When it ends by itself, as Unix time."""
        return inf if self.expires_at is None else self.expires_at.timestamp()

    def live_at(self, seconds: float) -> bool:
        """Say whether it still grants anything at a Unix time."""
        return self.ended_at is None and seconds < self.ends


class Consents:
    """Consents by (host, person, client, server), kept in memory."""

    def __init__(self, database: Database, feed: Feed) -> None:
        self._view: View[tuple[str, str, str, str], Consent] = View(
            database, feed, kind="consent", load=_load, keys=_key
        )

    def held(
        self, host: HostId, subject: SubjectId, client: ClientId, server: ServerKey
    ) -> Consent | None:
        return self._view.held((host, subject, client, server))

    async def get(
        self, host: HostId, subject: SubjectId, client: ClientId, server: ServerKey
    ) -> Consent | None:
        return await self._view.get((host, subject, client, server))


async def grant(tx: Write, consent: Consent) -> None:
    """Write down a consent; it replaces what the person allowed this client there before.

    Raises:
        ValueError: If a part of its key holds the character that keys are joined with.
    """
    if any(_SEPARATOR in part for part in (consent.subject, consent.client, consent.server)):
        raise ValueError("a consent's key holds a control character")
    row = {
        "id": consent.id,
        "level": int(consent.level),
        "granted_at": consent.granted_at,
        "expires_at": consent.expires_at,
        "ended_at": None,
        "ended_because": None,
        "redirect_uri": consent.redirect_uri,
        "client_digest": consent.client_digest,
    }
    if not await tx.execute(update(_consents).where(*_is(consent)).values(**row)):
        await tx.execute(
            insert(_consents).values(
                host=consent.host,
                subject=consent.subject,
                client=consent.client,
                server=consent.server,
                **row,
            )
        )
    _announce(tx, consent)


async def end(tx: Write, consent: Consent, *, at: datetime, because: str) -> bool:
    """End a consent now; returns False if it had ended already."""
    ended = await tx.execute(
        update(_consents)
        .where(*_is(consent), _consents.c.ended_at.is_(None))
        .values(ended_at=at, ended_because=because)
    )
    _announce(tx, consent)
    return bool(ended)


async def run_out(tx: Read, *, at: datetime, most: int = 1000) -> list[Consent]:
    """Return consents of any host that ran out, and whose end was not noted yet."""
    statement = (
        select(_consents)
        .where(
            _consents.c.expires_at <= at,
            _consents.c.ended_at.is_(None),
            _consents.c.ended_because.is_(None),
        )
        .limit(most)
    )
    return [_consent(row) for row in await tx.all(statement)]


async def note_run_out(tx: Write, consent: Consent) -> None:
    """Note that a consent's end by itself is on record."""
    ran_out = (_consents.c.id == consent.id, _consents.c.ended_at.is_(None))
    await tx.execute(update(_consents).where(*_is(consent), *ran_out).values(ended_because=EXPIRED))
    _announce(tx, consent)


async def of_person(tx: Read, host: HostId, subject: SubjectId) -> list[Consent]:
    """Return everything a person ever allowed, ended or not, newest first."""
    statement = (
        select(_consents)
        .where(_consents.c.host == host, _consents.c.subject == subject)
        .order_by(_consents.c.granted_at.desc())
    )
    return [_consent(row) for row in await tx.all(statement)]


async def every(tx: Read, host: HostId) -> list[Consent]:
    statement = select(_consents).where(_consents.c.host == host)
    return [_consent(row) for row in await tx.all(statement.order_by(_consents.c.granted_at))]


async def by_id(tx: Read, host: HostId, consent: ConsentId) -> Consent | None:
    statement = select(_consents).where(_consents.c.host == host, _consents.c.id == consent)
    row = await tx.one_or_none(statement)
    return None if row is None else _consent(row)


async def _load(tx: Read, key: tuple[str, str, str, str]) -> Consent | None:
    host, subject, client, server = key
    row = await tx.one_or_none(
        select(_consents).where(
            _consents.c.host == host,
            _consents.c.subject == subject,
            _consents.c.client == client,
            _consents.c.server == server,
        )
    )
    return None if row is None else _consent(row)


def _is(consent: Consent) -> tuple[Any, ...]:
    return (
        _consents.c.host == consent.host,
        _consents.c.subject == consent.subject,
        _consents.c.client == consent.client,
        _consents.c.server == consent.server,
    )


def change_key(subject: str, client: str, server: str) -> str:
    """Name a consent in the change feed; two consents never share a name."""
    return _SEPARATOR.join((subject, client, server))


def _announce(tx: Write, consent: Consent) -> None:
    key = change_key(consent.subject, consent.client, consent.server)
    tx.changed("consent", consent.host, key)


def _key(change: Change) -> tuple[str, str, str, str]:
    subject, client, server = change.key.split(_SEPARATOR)
    return change.host, subject, client, server


def _consent(row: Row[Any]) -> Consent:
    return Consent(
        host=HostId(row.host),
        subject=SubjectId(row.subject),
        client=ClientId(row.client),
        server=ServerKey(row.server),
        id=ConsentId(row.id),
        level=Level(row.level),
        granted_at=row.granted_at,
        expires_at=row.expires_at,
        redirect_uri=row.redirect_uri,
        client_digest=row.client_digest,
        ended_at=row.ended_at,
        ended_because=row.ended_because,
    )
