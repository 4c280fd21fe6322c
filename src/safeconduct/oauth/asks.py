"""Asks: authorization requests that wait for a person's answer.

One row per visit to the authorization endpoint. The first person to see it in a signed-in
browser is the only one who may answer it, once, within ten minutes.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Row

from safeconduct.core.model import ClientId, HostId, Level, ServerKey, SubjectId, Value
from safeconduct.core.secrets import same
from safeconduct.oauth.registry import Client
from safeconduct.storage import Read, UtcTime, Write, host_column, metadata

LIVES = timedelta(minutes=10)

_asks = Table(
    "oauth_asks",
    metadata,
    host_column(),
    Column("id", String(64), primary_key=True),
    Column("client", String(2048), nullable=False),
    Column("client_digest", String(64), nullable=False),
    Column("redirect_uri", String(2048), nullable=False),
    Column("redirect_sent", Integer, nullable=False),
    Column("state", Text),
    Column("challenge", String(64), nullable=False),
    Column("resource", String(512), nullable=False),
    Column("server", String(63)),
    Column("suggested", String(63)),
    Column("level", Integer, nullable=False),
    Column("prompt", String(256), nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("browser", String(64)),
    Column("subject", String(64)),
    Column("answered_at", UtcTime),
    Index("ix_oauth_asks_host_expires_at", "host", "expires_at"),
)


class Request(Value, frozen=True):
    """What a client asked for, as it was judged.

    Attributes:
        client_digest: What the client said about itself then; see `Client.digest`.
        redirect_sent: Whether the client named the address, and so must repeat it.
        challenge: PKCE challenge, S256.
        resource: The audience as published.
        server: The server the address fixes, or None where the person chooses.
        suggested: A server the client would like to be chosen; prove nothing by it.
        level: Highest level among the requested scopes.
        prompt: Words of the `prompt` parameter.
    """

    client: ClientId
    client_digest: str
    redirect_uri: str
    redirect_sent: bool
    state: str | None
    challenge: str
    resource: str
    server: ServerKey | None
    suggested: ServerKey | None
    level: Level
    prompt: tuple[str, ...]


class Ask(Value, frozen=True):
    """A request that this person may answer in this browser."""

    id: str
    host: HostId
    client: Client
    request: Request
    expires_at: datetime

    @property
    def redirect_uri(self) -> str:
        return self.request.redirect_uri

    @property
    def resource(self) -> str:
        return self.request.resource

    @property
    def server(self) -> ServerKey | None:
        """The server the client's address fixes, or None where the person chooses."""
        return self.request.server

    @property
    def suggested(self) -> ServerKey | None:
        """The server to offer first, where the person chooses."""
        return self.request.suggested

    @property
    def level(self) -> Level:
        """Highest level among the scopes the client asked for."""
        return self.request.level


class Stored(Value, frozen=True):
    """A row: the request, and who may answer it."""

    id: str
    request: Request
    expires_at: datetime
    browser: str | None
    subject: str | None
    answered: bool

    def belongs_to(self, browser: str, subject: SubjectId) -> bool:
        """Say whether this browser and person have seen it first; unseen, it is nobody's."""
        if self.browser is None or self.subject is None:
            return False
        return same(self.browser, browser) and self.subject == subject


async def insert_ask(tx: Write, host: HostId, ask: str, request: Request, *, at: datetime) -> None:
    await tx.execute(
        insert(_asks).values(
            host=host,
            id=ask,
            client=request.client,
            client_digest=request.client_digest,
            redirect_uri=request.redirect_uri,
            redirect_sent=int(request.redirect_sent),
            state=request.state,
            challenge=request.challenge,
            resource=request.resource,
            server=request.server,
            suggested=request.suggested,
            level=int(request.level),
            prompt=" ".join(request.prompt),
            expires_at=at + LIVES,
        )
    )


async def find(tx: Read, host: HostId, ask: str) -> Stored | None:
    row = await tx.one_or_none(select(_asks).where(*_is(host, ask)))
    return None if row is None else _stored(row)


async def bind(tx: Write, host: HostId, ask: str, *, browser: str, subject: SubjectId) -> bool:
    """Give an ask that nobody has seen to a browser and a person; False if somebody has."""
    statement = (
        update(_asks)
        .where(*_is(host, ask), _asks.c.browser.is_(None), _asks.c.answered_at.is_(None))
        .values(browser=browser, subject=subject)
    )
    return bool(await tx.execute(statement))


async def release(tx: Write, host: HostId, ask: str, *, browser: str, subject: SubjectId) -> bool:
    """Give an ask back, so that another person can answer it; only its holder may."""
    statement = (
        update(_asks)
        .where(*_mine(host, ask, browser, subject), _asks.c.answered_at.is_(None))
        .values(browser=None, subject=None)
    )
    return bool(await tx.execute(statement))


async def answer(
    tx: Write, host: HostId, ask: str, *, browser: str, subject: SubjectId, at: datetime
) -> bool:
    """Use the ask up; False if it was answered, is late or is somebody else's."""
    statement = (
        update(_asks)
        .where(
            *_mine(host, ask, browser, subject),
            _asks.c.answered_at.is_(None),
            _asks.c.expires_at > at,
        )
        .values(answered_at=at)
    )
    return bool(await tx.execute(statement))


async def forget_late(tx: Write, *, before: datetime, host: HostId | None = None) -> None:
    """Delete asks that were late before an instant, of one host or of all."""
    statement = delete(_asks).where(_asks.c.expires_at < before)
    if host is not None:
        statement = statement.where(_asks.c.host == host)
    await tx.execute(statement)


async def forget_unseen(tx: Write, host: HostId, *, most: int) -> int:
    """Delete asks that no signed-in person has seen, oldest first; returns how many."""
    oldest = (
        select(_asks.c.id)
        .where(_asks.c.host == host, _asks.c.browser.is_(None))
        .order_by(_asks.c.expires_at)
        .limit(most)
    )
    found = [row.id for row in await tx.all(oldest)]
    return await tx.execute(delete(_asks).where(_asks.c.host == host, _asks.c.id.in_(found)))


async def waiting(tx: Read, host: HostId, *, at: datetime) -> int:
    """Count the asks that could still be answered."""
    statement = (
        select(func.count())
        .select_from(_asks)
        .where(_asks.c.host == host, _asks.c.expires_at > at, _asks.c.answered_at.is_(None))
    )
    return int(await tx.scalar(statement))


def _is(host: HostId, ask: str) -> tuple[Any, ...]:
    return _asks.c.host == host, _asks.c.id == ask


def _mine(host: HostId, ask: str, browser: str, subject: SubjectId) -> tuple[Any, ...]:
    return *_is(host, ask), _asks.c.browser == browser, _asks.c.subject == subject


def _stored(row: Row[Any]) -> Stored:
    return Stored(
        id=row.id,
        request=Request(
            client=ClientId(row.client),
            client_digest=row.client_digest,
            redirect_uri=row.redirect_uri,
            redirect_sent=bool(row.redirect_sent),
            state=row.state,
            challenge=row.challenge,
            resource=row.resource,
            server=None if row.server is None else ServerKey(row.server),
            suggested=None if row.suggested is None else ServerKey(row.suggested),
            level=Level(row.level),
            prompt=tuple(row.prompt.split()),
        ),
        expires_at=row.expires_at,
        browser=row.browser,
        subject=row.subject,
        answered=row.answered_at is not None,
    )
